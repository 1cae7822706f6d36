"""docs/operations.md explains every reason that a condition can have, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth.operator.diagnosis.reasons import NORMAL, Reason

ROOT = Path(__file__).parents[3]
SECTION = "## Reading the conditions"
ERRORS = {"PlanningError", "PluginRejects", "OperatorError", "NameTaken", "BeingDeleted", "ApiError", "Invalid"}


def explained() -> set[str]:
    """Return the words in the first column of the section's tables of reasons."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.split(f"{SECTION}\n")[1].split("\n## ")[0]
    tables = re.findall(r"^\| reason \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", section, re.MULTILINE)
    assert len(tables) == 2
    return {
        word for table in tables for row in table.splitlines() for word in re.findall(r"`(\w+)`", row.split("|")[1])
    }


def raised() -> set[str]:
    """Return the reasons that stand where something is refused, and those of PluginError and VendorUnavailable."""
    return {
        word
        for room in ("planning", "plugins", "operator")
        for path in (ROOT / "hearth" / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for word in words(node)
    }


def words(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.IfExp):
        # refusal() makes its ApiErrors with the status first.
        for argument in node.args[:2]:
            values = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
            for value in values:
                if known_error(node.func) and isinstance(value, ast.Constant) and is_word(value.value):
                    yield value.value
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and is_word(node.value.value):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        yield from [node.value.value] if "reason" in names else []


def known_error(func: ast.expr) -> bool:
    if isinstance(func, ast.IfExp):
        return True
    return isinstance(func, ast.Name) and (
        func.id in ERRORS
        or func.id in {"NotFound", "NotServed", "Conflict", "Forbidden", "Unavailable", "InternalError"}
    )


def is_word(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z][A-Za-z]+", value) is not None


def test_the_search_finds_reasons_at_all() -> None:
    assert {"UnknownModelScheme", "PluginFailed", "UnsupportedVendor", "NoRuntime", "NamespaceTerminating"} <= raised()


def test_every_reason_is_explained_and_nothing_else_is() -> None:
    known = {str(reason) for reason in Reason} | raised()
    assert explained() - known == set(), "explained, and never given"
    assert known - explained() == set(), "given, and not explained"


@pytest.mark.parametrize("document", ["CHANGELOG.md", "docs/operations.md"])
def test_what_was_renamed_has_its_name_of_today(document: str) -> None:
    table = re.search(
        r"^ *\| before \| now \|.*\n *\|[-|]+\|\n((?: *\|.*\n)+)", (ROOT / document).read_text(), re.MULTILINE
    )
    assert table
    rows = [row.strip(" |").split("|")[:2] for row in table[1].splitlines()]
    before, now = ({word for row in rows for word in re.findall(r"`(\w+)`", row[column])} for column in (0, 1))
    assert now <= {str(reason) for reason in Reason}
    assert not before & {str(reason) for reason in Reason}


def test_every_reason_is_used_somewhere() -> None:
    code = "\n".join(
        path.read_text() for path in (ROOT / "hearth" / "operator").rglob("*.py") if path.name != "reasons.py"
    )
    assert {reason.name for reason in Reason if f"Reason.{reason.name}" not in code} == set()


def test_reasons_are_words_that_conditions_may_have() -> None:
    for reason in Reason:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", reason)
    assert Reason.CRASH_LOOP_BACK_OFF not in NORMAL
