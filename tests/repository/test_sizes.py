"""Sizes of functions and classes: a function is read in one view, a class in a few."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tools.distributions import ROOT, distributions

FUNCTION = 75
"""Lines of a function at most, from its `def` to its end."""

CLASS = 500
"""Lines of a class at most."""

SOURCES = [
    path
    for directory in [ROOT / "tools", *(package for each in distributions().values() for package in each.packages)]
    for path in sorted(directory.rglob("*.py"))
    if not path.name.endswith("_pb2.py")  # written by protoc
]

Sized = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def sized() -> Iterator[tuple[Sized, int, str]]:
    """Every function and class, its number of lines, and where it is."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Sized) and node.end_lineno is not None:
                yield node, node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def test_the_sources_are_found() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == {"gateway", "hearth", "plugins", "stub", "tools"}


def test_no_function_is_too_long() -> None:
    assert [where for node, lines, where in sized() if not isinstance(node, ast.ClassDef) and lines > FUNCTION] == []


def test_no_class_is_too_long() -> None:
    assert [where for node, lines, where in sized() if isinstance(node, ast.ClassDef) and lines > CLASS] == []
