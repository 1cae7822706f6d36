"""Work queue: keys that are to be reconciled, each at most once at a time, with a back-off for those that fail.

The semantics are those of client-go's rate-limited work queue, which kopf does not have for `on.event`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF = 0.25
"""Seconds before the first retry; every further one waits twice as long."""

LONGEST_BACKOFF = 60.0
"""Seconds."""


class Timer(Protocol):
    """Result of `call_later`."""

    def cancel(self) -> None:
        """Keep the timer from running."""


class Clock(Protocol):
    """What the queue needs of an event loop."""

    def time(self) -> float:
        """Return the seconds that the clock shows."""
        ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback` after so many seconds."""
        ...


class WorkQueue(Generic[K]):
    """Keys in the order of adding, urgent ones first.

    A key that is added while it waits is not added again; one that is added while it is worked on is worked on again
    afterwards. Whoever takes a key with `get` must say `done`.
    """

    def __init__(
        self, clock: Clock, *, first_backoff: float = FIRST_BACKOFF, longest_backoff: float = LONGEST_BACKOFF
    ) -> None:
        self._clock = clock
        self._first = first_backoff
        self._longest = longest_backoff
        self._lanes = _Lanes()
        self._queued: set[K] = set()
        self._running: dict[K, float] = {}
        self._again: dict[K, bool] = {}
        self._later: dict[K, tuple[float, Timer, bool]] = {}
        self._failures: dict[K, int] = {}

    def add(self, key: K, *, after: float = 0.0, urgent: bool = False) -> None:
        """Work on `key` after so many seconds, or sooner when that is scheduled already."""
        if after > 0.0:
            self._schedule(key, after, urgent=urgent)
            return
        waiting = self._later.pop(key, None)
        if waiting is not None:
            waiting[1].cancel()
        self._ready(key, urgent=urgent)

    def retry(self, key: K) -> float:
        """Work on `key` again after its back-off, and return that, in seconds. The next one will be twice as long."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(self._longest, self._first * 2.0 ** min(failures, 30))
        self.add(key, after=delay)
        return delay

    def succeeded(self, key: K) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How many times in a row `key` has failed."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """Take the next key, waiting for one."""
        key: K = await self._lanes.get()
        self._queued.discard(key)
        self._running[key] = self._clock.time()
        return key

    def done(self, key: K) -> None:
        """Take note that the work on `key` has ended, in whatever way."""
        del self._running[key]
        if key in self._again:
            self._ready(key, urgent=self._again.pop(key))

    @property
    def running(self) -> Mapping[K, float]:
        """The keys that are worked on, and since when, by the clock."""
        return self._running

    @property
    def depth(self) -> int:
        """How many keys could be worked on now."""
        return len(self._queued) + len(self._again)

    @property
    def failing(self) -> int:
        """How many keys failed the last time."""
        return len(self._failures)

    def close(self) -> None:
        """Cancel what is scheduled."""
        for _, timer, _ in self._later.values():
            timer.cancel()
        self._later.clear()

    def _schedule(self, key: K, after: float, *, urgent: bool) -> None:
        if key in self._queued or key in self._again:
            return
        due = self._clock.time() + after
        waiting = self._later.get(key)
        if waiting is not None:
            if waiting[0] <= due:
                return
            waiting[1].cancel()
        self._later[key] = (due, self._clock.call_later(after, self._due, key), urgent)

    def _due(self, key: K) -> None:
        _, _, urgent = self._later.pop(key)
        self._ready(key, urgent=urgent)

    def _ready(self, key: K, *, urgent: bool) -> None:
        if key in self._queued:
            return
        if key in self._running:
            self._again[key] = urgent or self._again.get(key, False)
            return
        self._queued.add(key)
        self._lanes.put_nowait((key, urgent))


class _Lanes(asyncio.Queue[Any]):
    """Two queues: what is urgent comes first. asyncio.Queue's hooks for subclasses keep its waking of waiters."""

    def _init(self, maxsize: int) -> None:
        self._urgent: deque[Any] = deque()
        self._usual: deque[Any] = deque()

    def _put(self, item: tuple[Any, bool]) -> None:
        key, urgent = item
        (self._urgent if urgent else self._usual).append(key)

    def _get(self) -> Any:
        return self._urgent.popleft() if self._urgent else self._usual.popleft()

    def qsize(self) -> int:
        return len(self._urgent) + len(self._usual)

    def empty(self) -> bool:
        return not self._urgent and not self._usual
