"""The kit itself: it catches a breach of every law, takes it for no other, and says what an author needs to know."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.api import HearthError
from hearth.plugins import InventoryOutput, VendorInfo, hookimpl, hookspecs
from hearth.plugins.loader import LoadedVendor
from hearth.testing import LAWS, Law, LawBroken, Search, Subject, check_law, check_vendor, strategies
from hearth.testing.subject import RESULTS
from tests.testing import broken

HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("hearth_"))
VARIANTS = sorted(name for name in vars(broken) if any(name.startswith(law.name) for law in LAWS))
QUICK = Search(20, shrinking=0)
IN_PROCESSES = ("determinism", "no_access")
"""Laws that start other processes, which takes seconds."""


def subject(variant: str) -> Subject:
    """Load a broken plugin; only the one that hangs must be given up soon, the others may run on a busy machine."""
    hook_timeout = 0.5 if variant == "totality_hangs" else 10.0
    return Subject.load("fake", reference=f"tests.testing.broken:{variant}", hook_timeout=hook_timeout)


def law_of(variant: str) -> Law:
    [law] = [law for law in LAWS if variant.startswith(law.name)]
    return law


def caught(law: Law, one: Subject, search: Search = QUICK) -> LawBroken | None:
    try:
        check_law(law, one, search)
    except LawBroken as found:
        return found
    return None


def test_there_are_sixteen_laws_and_a_variant_breaks_each() -> None:
    assert [law.number for law in LAWS] == list(range(1, 17))
    assert {law_of(variant).name for variant in VARIANTS} == {law.name for law in LAWS}


def test_the_laws_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
    documented = re.findall(r"^\| ([0-9]+) \| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    assert documented == [(str(law.number), law.name, law.title) for law in LAWS]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_broken_variant_is_caught_by_its_law(variant: str) -> None:
    law = law_of(variant)
    found = caught(law, subject(variant))
    assert found is not None
    assert found.law is law
    text = str(found)
    assert text.startswith(f"law {law.number} ({law.name}): {law.title}\n  vendor 'fake'")
    assert "\n  remedy: " in text


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_broken_variant_is_caught_by_no_other_law(variant: str) -> None:
    one = subject(variant)
    others = [law for law in LAWS if law is not law_of(variant) and law.name not in IN_PROCESSES]
    assert [str(found) for law in others if (found := caught(law, one, Search(2, shrinking=0)))] == []


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_whole_kit_finds_the_one_broken_law(variant: str) -> None:
    report = check_vendor(subject(variant), QUICK)
    assert [verdict.law for verdict in report.verdicts if verdict.broken] == [law_of(variant)]


def made(**hooks: Callable[..., Any]) -> Subject:
    info = VendorInfo("acme", title="Acme", capabilities=("local",))
    plugin = type("Plugin", (), {})()
    for name, hook in {"hearth_vendor": lambda: info, **hooks}.items():
        setattr(plugin, name, hookimpl(hook))
    return Subject(LoadedVendor(info, "hearth-acme", "1", plugin), hook_timeout=0.5)


def crash() -> None:
    raise KeyError("driver")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_looked_at(hook: str) -> None:
    found = caught(LAWS[10], made(**{hook: crash}), QUICK)
    assert found is not None
    assert (found.hook, found.problem) == (hook, "it raised KeyError: 'driver'")


def test_every_hook_has_a_result_that_is_checked() -> None:
    assert {*RESULTS, "hearth_vendor", "hearth_runtimes"} == set(HOOKS)


@pytest.mark.parametrize("hook", sorted(RESULTS))
def test_garbage_from_every_hook_is_invalid(hook: str) -> None:
    one = made(**{hook: lambda: 42})
    one.inventories = (InventoryOutput(),)
    found = caught(LAWS[6], one, QUICK)
    assert found is not None
    assert (found.hook, "the result 42 is not valid" in found.problem) == (hook, True)


def test_a_breach_shows_its_input() -> None:
    found = caught(law_of("totality_raises"), subject("totality_raises"))
    assert found is not None
    assert (found.hook, found.problem) == ("hearth_env", "it raised KeyError: 'topology'")
    shown = yaml.safe_load(found.given)
    assert shown["service"]["spec"]["resources"]["accelerators"] > 2
    assert shown["runtime"]["name"] == "vllm-fake"


def test_the_input_is_made_smaller() -> None:
    def check(number: int) -> None:
        if number > 10:
            raise LawBroken(str(number), remedy="")

    with pytest.raises(LawBroken, match="vendor '': 11"):
        Search(50, shrinking=30).for_all(st.integers(0, 1000), check)


def test_a_law_that_is_broken_by_chance_is_caught() -> None:
    calls: list[int] = []

    def odd(ctx: Any) -> list[Any]:
        calls.append(1)
        if len(calls) == 7:
            raise KeyError("the seventh call")
        return []

    found = caught(LAWS[10], made(hearth_env=odd))
    assert found is not None
    assert "the seventh call" in found.problem


def test_the_report() -> None:
    report = check_vendor(subject("unique_keys"), Search(1, shrinking=0))
    assert not report.passed
    told: Mapping[str, Any] = report.to_json()
    [law] = [law for law in told["laws"] if not law["passed"]]
    assert (law["number"], law["name"], law["hook"]) == (6, "unique_keys", "hearth_env")
    assert law["problem"] == "the variable 'FAKE_MODE' is returned twice"
    text = report.to_text()
    assert "  broken   6  unique_keys " in text
    assert text.endswith("15 of 16 laws hold")


@pytest.mark.parametrize(
    ("vendor", "reference", "text"),
    [
        ("ghost", None, "there is no vendor 'ghost' to check"),
        ("fake", "hearth_fake.nothing", "its import failed with ModuleNotFoundError"),
        ("other", "hearth_fake", "hearth_vendor says 'fake'"),
    ],
)
def test_a_plugin_that_cannot_be_checked(vendor: str, reference: str | None, text: str) -> None:
    with pytest.raises(HearthError, match=text):
        Subject.load(vendor, reference=reference)


@settings(max_examples=50)
@given(context=strategies.contexts("acme"))
def test_strategies_make_valid_contexts(context: Any) -> None:
    assert context.runtime.spec.vendor == "acme"
    assert type(context.service).model_validate(context.service.to_wire()) == context.service
    assert type(context.runtime).model_validate(context.runtime.to_wire()) == context.runtime
