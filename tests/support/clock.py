"""Clock that moves only when a test says so: for everything that takes an event loop's `time` and `call_later`."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

START = 1000.0
"""Seconds: what a clock shows at first, so that a time of 0 is recognised as a mistake."""

MOST_AT_ONCE = 20
"""Timers at one instant after which `advance` takes them for a loop that lets no time pass."""


class FakeTimer:
    """Result of one `call_later`."""

    def __init__(self, at: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.at = at
        self.cancelled = False
        self._callback = callback
        self._args = args

    def cancel(self) -> None:
        """Keep the timer from running."""
        self.cancelled = True

    def run(self) -> None:
        """Call what the timer is for."""
        self._callback(*self._args)


class FakeClock:
    """Time and timers. Set `now` to let time pass without running the timers that are due."""

    def __init__(self, now: float = START) -> None:
        self.now = now
        self._queue: list[tuple[float, int, FakeTimer]] = []
        self._order = count()

    def time(self) -> float:
        """Return the seconds that the clock shows."""
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> FakeTimer:
        """Call `callback` when the clock has moved by `delay` seconds."""
        assert delay >= 0
        timer = FakeTimer(self.now + delay, callback, args)
        heapq.heappush(self._queue, (timer.at, next(self._order), timer))
        return timer

    @property
    def pending(self) -> list[FakeTimer]:
        """Timers that will run."""
        return [timer for _, _, timer in self._queue if not timer.cancelled]

    def step(self, until: float) -> bool:
        """Move to the next timer and run it, unless it is due after `until`. Return whether one ran."""
        while self._queue and self._queue[0][2].cancelled:
            heapq.heappop(self._queue)
        if not self._queue or self._queue[0][0] > until:
            return False
        at, _, timer = heapq.heappop(self._queue)
        self.now = max(self.now, at)
        timer.run()
        return True

    def advance(self, seconds: float) -> None:
        """Move by `seconds`, and run every timer that falls due, each at its own instant."""
        end = self.now + seconds
        before, ran = self.now, 0
        while self.step(end):
            ran = ran + 1 if self.now == before else 1
            before = self.now
            assert ran < MOST_AT_ONCE, "timers run again and again without time passing"
        self.now = end
