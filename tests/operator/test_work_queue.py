"""The laws of the work queue."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hearth.operator.work_queue import WorkQueue
from tests.support.clock import FakeClock

KEYS = st.sampled_from(["a", "b", "c"])


class QueueMachine(RuleBasedStateMachine):
    """Adds, takes and finishes keys in any order, beside a model that only knows what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock, first_backoff=1.0, longest_backoff=8.0)
        self.running: set[str] = set()
        self.wanted: set[str] = set()
        """Keys that somebody wants worked on, and that were not taken since."""
        self.later: dict[str, float] = {}
        self.failures: dict[str, int] = {}

    @rule(key=KEYS, urgent=st.booleans())
    def add(self, key: str, urgent: bool) -> None:
        self.queue.add(key, urgent=urgent)
        self.wanted.add(key)
        self.later.pop(key, None)

    @rule(key=KEYS, after=st.floats(0.1, 5.0))
    def add_later(self, key: str, after: float) -> None:
        self.queue.add(key, after=after)
        if key not in self.wanted:
            self.later[key] = min(self.later.get(key, float("inf")), self.clock.now + after)

    @rule(seconds=st.floats(0.1, 10.0))
    def wait(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while self.clock.step(until):
            pass
        self.clock.now = until
        due = {key for key, at in self.later.items() if at <= until}
        self.wanted |= due
        for key in due:
            del self.later[key]

    @precondition(lambda self: self.wanted - self.running)
    @rule()
    def take(self) -> None:
        key = asyncio.run(asyncio.wait_for(self.queue.get(), 1))
        assert key in self.wanted, "a key came that nobody asked for"
        assert key not in self.running, "a key is worked on twice at once"
        self.wanted.discard(key)
        self.running.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.queue.succeeded(key)
        self.queue.done(key)
        self.running.discard(key)
        self.failures.pop(key, None)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        delay = self.queue.retry(key)
        assert delay == min(8.0, 2.0 ** self.failures.get(key, 0))
        self.failures[key] = self.failures.get(key, 0) + 1
        if key not in self.wanted:
            self.later[key] = min(self.later.get(key, float("inf")), self.clock.now + delay)
        self.queue.done(key)
        self.running.discard(key)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.queue.depth == len(self.wanted)
        assert set(self.queue.running) == self.running
        assert self.queue.failing == len(self.failures)


TestQueue = QueueMachine.TestCase


async def test_what_is_urgent_comes_first() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    queue.add("usual")
    queue.add("urgent", urgent=True)
    assert [await queue.get(), await queue.get()] == ["urgent", "usual"]


async def test_a_key_that_waits_for_its_time_is_worked_on_at_once_when_it_is_wanted_at_once() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a", after=60.0)
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    while clock.step(clock.now + 100):
        pass
    assert queue.depth == 0


async def test_two_hundred_events_are_two_reconciles() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    queue.add("a")
    await queue.get()
    for _ in range(199):
        queue.add("a")
    queue.done("a")
    await queue.get()
    queue.done("a")
    assert queue.depth == 0


async def test_a_worker_that_waits_gets_the_next_key() -> None:
    queue: WorkQueue[str] = WorkQueue(asyncio.get_running_loop())
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a", after=0.001)
    assert await asyncio.wait_for(waiting, 5) == "a"


async def test_done_without_get_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        WorkQueue(FakeClock()).done("a")
