"""The reasons of a plan."""

from __future__ import annotations

from hearth.planning.reason import Reason


def test_a_reason_in_words() -> None:
    assert str(Reason("runtime a", "named by spec.runtime.name")) == "runtime a: named by spec.runtime.name"
    assert str(Reason("b", "priority 0 is below 5", rejected=True)) == "not b: priority 0 is below 5"
    assert Reason("b", "priority 0 is below 5", rejected=True).words == "b: priority 0 is below 5"
