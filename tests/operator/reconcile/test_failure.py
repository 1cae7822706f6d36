"""Which failures a status tells, and when the next attempt is due."""

from __future__ import annotations

import pytest

from hearth.operator.cache import Key
from hearth.operator.kubernetes.errors import Conflict, Invalid
from hearth.operator.reconcile.failure import RECHECK, TOLERATED, lasting, retry_later
from hearth.operator.work_queue import WorkQueue
from tests.support.clock import FakeClock

KEY = Key("ns", "m")
PASSING = Conflict(409, "Conflict", "changed")
FINAL = Invalid(422, "InvalidObject", "spec.replicas")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> WorkQueue[Key]:
    return WorkQueue(clock)


def test_what_mostly_passes_is_told_when_it_lasts(queue: WorkQueue[Key]) -> None:
    for _ in range(TOLERATED):
        assert lasting(PASSING, queue, KEY) is None
        assert lasting(FINAL, queue, KEY) is FINAL
        queue.retry(KEY)
    assert lasting(PASSING, queue, KEY) is PASSING


def test_what_a_retry_can_resolve_is_raised(queue: WorkQueue[Key]) -> None:
    with pytest.raises(Conflict):
        retry_later(PASSING, queue, KEY)


def test_what_only_a_person_can_resolve_is_looked_at_again(queue: WorkQueue[Key], clock: FakeClock) -> None:
    retry_later(FINAL, queue, KEY)
    clock.advance(RECHECK - 1)
    assert queue.depth == 0
    clock.advance(1)
    assert (queue.depth, queue.failing) == (1, 0)
