"""Steps of a run: what is being done, and how long it took."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator


class StepError(Exception):
    """A step of the preparation failed; its output was shown."""


class Steps:
    """Steps that were begun, also side by side."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._done: list[tuple[str, float]] = []
        self.stopped = threading.Event()
        """Set when nothing further is to be begun."""

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Print that a step begins, and remember how long it took."""
        print(f"\n--- {self.seconds:6.1f} s  {text}", flush=True)
        started = self.seconds
        try:
            yield
        finally:
            self._done.append((text, self.seconds - started))

    def show(self, *, passed: bool) -> None:
        """Print every step with its duration, and the result."""
        print()
        for text, seconds in self._done:
            print(f"{seconds:7.1f} s  {text}")
        print(f"{self.seconds:7.1f} s  {'passed' if passed else 'FAILED'}")
