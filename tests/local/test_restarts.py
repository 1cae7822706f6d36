"""Restart delays: they grow to a bound, and stable processes reset them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hearth.local.restarts import CRASH_LOOP, LONGEST_DELAY, STABLE, Failures, after_exit, after_start_error


@given(st.lists(st.one_of(st.floats(0, 200), st.none()), max_size=40))
def test_delays_grow_to_a_bound_and_a_stable_time_forgives(history: list[float | None]) -> None:
    failures = Failures()
    for ready_for in history:
        before = failures
        failures = after_start_error(failures) if ready_for is None else after_exit(failures, ready_for)
        assert 0 <= failures.delay <= LONGEST_DELAY
        if ready_for is not None and ready_for >= STABLE:
            assert failures == Failures(1)
        else:
            assert failures.delay >= before.delay


def test_the_first_restart_is_immediate_and_then_they_double() -> None:
    delays = [Failures(number).delay for number in range(1, 12)]
    assert delays == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert after_start_error(Failures()).count == CRASH_LOOP, "a command that cannot run is a loop at once"
