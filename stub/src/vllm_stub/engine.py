"""The engine without a model: admission, a FIFO queue before `max_num_seqs` seats, and tokens on a clock.

One `Work` is one HTTP request; its `width` sequences (`n` choices times the prompts of a batch) run in lock-step
and take `width` seats, which is the only simplification beside vLLM's scheduler.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from time import monotonic

from vllm_stub.metrics import Metrics
from vllm_stub.options import Options
from vllm_stub.work import Work

DEAD_MESSAGE = "EngineCore encountered an issue. See stack trace (above) for the root cause."
SLEEP_TAGS = frozenset({"weights", "kv_cache"})
ASLEEP_MESSAGE = "Generation is paused. Please retry after it resumes."


class EngineDeadError(Exception):
    """The engine core is gone: every request fails and /health turns 503."""


class EngineAsleepError(Exception):
    """Generation is paused by /sleep."""


class QueueFullError(Exception):
    """--max-num-queued-reqs was reached."""


class Engine:
    """Runs works; the state that /metrics, /load and the shutdown look at lives here."""

    def __init__(self, options: Options, metrics: Metrics) -> None:
        self.max_num_seqs = options.max_num_seqs
        self.max_model_len = options.max_model_len
        self.max_queued = options.max_queued
        self.token_count = options.token_count
        self.token_delay = options.token_delay
        self.prefill_delay = options.prefill_delay
        self.metrics = metrics
        self.sleep_level: int | None = None
        self.draining = False
        self.dead = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.running = 0
        self.waiting = 0
        self._awake_tags: set[str] = set()
        self._queue: deque[Work] = deque()
        self._seats: set[Work] = set()

    @property
    def in_flight(self) -> int:
        """Requests that the engine has not finished."""
        return len(self._seats) + len(self._queue)

    @property
    def cache_usage(self) -> float:
        """Share (0..1) of an imaginary KV cache that holds every seat at full context."""
        used = sum((work.prompt_tokens + work.produced) * work.width for work in self._seats)
        return min(1.0, used / (self.max_model_len * self.max_num_seqs))

    def admit(self, width: int) -> None:
        """Raise what vLLM raises before it queues a request of `width` sequences."""
        if self.dead.is_set():
            raise EngineDeadError(DEAD_MESSAGE)
        if self.sleep_level is not None:
            raise EngineAsleepError(ASLEEP_MESSAGE)
        if self.max_queued is not None and self.running + self.waiting + width > self.max_queued:
            self.metrics.rejected()
            raise QueueFullError(
                f"The engine is currently busy (max_num_queued_reqs={self.max_queued}). Please retry later."
            )

    async def run(self, work: Work) -> AsyncGenerator[str | None]:
        """One item per token: None while the work goes on, at last its finish reason.

        "length" comes with the last token; "stop" and "abort" are items without a token, as the end-of-sequence
        token has no text. Raises EngineDeadError when the engine dies meanwhile. A client that went away closes
        the generator (or cancels the task), which counts as an abort.
        """
        work.arrived = monotonic()
        outcome = "abort"
        try:
            if self.dead.is_set():
                outcome = "error"
            elif not self.draining:
                await self._seat(work)
                await self._prefill(work)
                work.clock = monotonic()
                while not work.end and work.produced < work.count:
                    await self._until(work, work.clock)
                    if work.end:
                        break
                    self._produce(work)
                    if work.finish == "length" and work.produced == work.count:
                        break
                    work.clock += self.token_delay
                    yield None
                outcome = work.end or work.finish
        finally:
            self._leave(work)
            self.metrics.finished(work, outcome)
        if outcome == "error":
            raise EngineDeadError(DEAD_MESSAGE)
        yield outcome

    async def hang(self, work: Work, seconds: float | None) -> None:
        """Keep a work silent for a while; without a time, until something ends it."""
        if not work.seated:
            work.hold = seconds
        elif seconds is None:
            await self._until(work, None)
        else:
            work.clock = max(work.clock, monotonic()) + seconds
            await self._until(work, work.clock)

    async def sleep(self, level: int, mode: str) -> None:
        """Refuse new works from now on; "abort" ends the present ones, "wait" lets them finish, "keep" ignores them."""
        self.sleep_level = level
        self._awake_tags.clear()
        if mode == "abort":
            self.end_all("abort")
        elif mode == "wait":
            await self.idle.wait()

    def wake_up(self, tags: Sequence[str] | None) -> bool:
        """Wake as a whole, or one part after the other by tags; True when everything is awake."""
        self._awake_tags.update(tags or SLEEP_TAGS)
        if self._awake_tags >= SLEEP_TAGS:
            self.sleep_level = None
        return self.sleep_level is None

    def die(self) -> None:
        """Kill the engine core; every work ends by EngineDeadError."""
        self.dead.set()
        self.end_all("error")

    def end_all(self, reason: str) -> None:
        """End every work by "abort" or "error"."""
        for work in [*self._seats, *self._queue]:
            work.end = reason
            _wake(work)

    def _produce(self, work: Work) -> None:
        now = monotonic()
        self.metrics.token(work, now)
        work.produced += 1
        work.last = now
        work.first = work.first or now

    async def _seat(self, work: Work) -> None:
        self.idle.clear()
        self._queue.append(work)
        self.waiting += work.width
        self._promote()
        while not work.seated and not work.end:
            await self._until(work, None)

    async def _prefill(self, work: Work) -> None:
        if work.hold is None:
            await self._until(work, None)
        else:
            await self._until(work, work.scheduled + self.prefill_delay + work.hold)

    def _promote(self) -> None:
        # a work wider than all seats still runs once it is alone
        while self._queue and (not self._seats or self.running + self._queue[0].width <= self.max_num_seqs):
            work = self._queue.popleft()
            self.waiting -= work.width
            self.running += work.width
            self._seats.add(work)
            work.seated = True
            work.scheduled = monotonic()
            _wake(work)

    def _leave(self, work: Work) -> None:
        if work in self._seats:
            self._seats.remove(work)
            self.running -= work.width
        elif work in self._queue:
            self._queue.remove(work)
            self.waiting -= work.width
        self._promote()
        if not self.in_flight:
            self.idle.set()

    async def _until(self, work: Work, deadline: float | None) -> None:
        """Wait for a point in time, or less when something wakes the work; without a time only for the wake."""
        delay = None if deadline is None else deadline - monotonic()
        if work.end or (delay is not None and delay <= 0):
            await asyncio.sleep(0)  # an undelayed stream must not starve the others
            return
        loop = asyncio.get_running_loop()
        work.wake = loop.create_future()
        timer = None if delay is None else loop.call_later(delay, _wake, work)
        try:
            await work.wake
        finally:
            work.wake = None
            if timer is not None:
                timer.cancel()


def _wake(work: Work) -> None:
    if work.wake is not None and not work.wake.done():
        work.wake.set_result(None)
