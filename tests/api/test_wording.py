"""The words of messages."""

from __future__ import annotations

import pytest

from hearth.api.wording import closest


@pytest.mark.parametrize(
    ("word", "meant"),
    [("argsoverride", "argsOverride"), ("args_override", "argsOverride"), ("selectr", "selector"), ("zzz", None)],
)
def test_the_choice_that_was_probably_meant(word: str, meant: str | None) -> None:
    assert closest(word, ["name", "selector", "argsOverride"]) == meant


def test_a_higher_cutoff_forgives_less() -> None:
    assert closest("nvdia", ["nvidia"], cutoff=0.8) == "nvidia"
    assert closest("navi", ["nvidia"]) == "nvidia"
    assert closest("navi", ["nvidia"], cutoff=0.9) is None
