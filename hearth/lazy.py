"""Lazy packages: their public names are imported when they are first used.

So a command that needs only the errors does not wait for pydantic.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for a package whose public names its stub imports.

    The stub is `__init__.pyi`, beside the package's `__init__.py` (`file`). Type checkers read it too, so every name
    and its home stand in one place.
    """
    homes = _homes(f"{file}i")

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names, sorted(homes)


def _homes(stub: str) -> dict[str, str]:
    """Return the module of every name that a stub imports."""
    with open(stub, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes longer to import than all of this
        imports = [node for node in ast.parse(file.read()).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports if node.module for alias in node.names}
