"""The diagnosis: which of several is the worst."""

from __future__ import annotations

from hearth.operator.diagnosis.diagnosis import SEE_STATUS, Diagnosis, rank
from hearth.operator.diagnosis.reasons import Reason


def test_the_worst_comes_first_whatever_the_order() -> None:
    broken = Diagnosis(Reason.OOM_KILLED, "m", "broken", f"n; {SEE_STATUS}")
    waiting, other = (Diagnosis(Reason.SCHEDULING, message, "waiting") for message in ("a", "b"))
    starting = Diagnosis(Reason.LOADING, "m", "starting")
    assert sorted([starting, other, broken, waiting], key=rank) == [broken, waiting, other, starting]
