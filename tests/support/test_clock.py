"""The clock moves when it is told to, and runs every timer at its own instant."""

from __future__ import annotations

import pytest

from tests.support.clock import START, FakeClock


def test_timers_run_in_order_at_their_own_instants() -> None:
    clock, seen = FakeClock(), list[tuple[str, float]]()
    clock.call_later(2, lambda: seen.append(("b", clock.time())))
    clock.call_later(1, lambda name: seen.append((name, clock.time())), "a")
    clock.call_later(1, seen.append, ("never", 0.0)).cancel()
    assert len(clock.pending) == 2
    clock.advance(5)
    assert seen == [("a", START + 1), ("b", START + 2)]
    assert clock.now == START + 5


def test_step_goes_no_further_than_told() -> None:
    clock = FakeClock()
    clock.call_later(3, lambda: None)
    assert not clock.step(START + 2.9)
    assert clock.now == START
    assert clock.step(START + 3)
    assert clock.now == START + 3


def test_timers_that_start_each_other_at_once_are_a_mistake() -> None:
    clock = FakeClock()

    def again() -> None:
        clock.call_later(0, again)

    again()
    with pytest.raises(AssertionError, match="without time passing"):
        clock.advance(1)
