"""Restart delays of a backend that exited by itself. Pure; times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
STABLE = 60.0
"""A process that was ready for this long is stable: its exit resets the count of failures."""
CRASH_LOOP = 2
"""This many failures in a row are a crash loop: somebody has to look."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures in a row without a stable time in between."""

    count: int = 0

    @property
    def delay(self) -> float:
        """Seconds before the next start: none for the first restart, as with the kubelet, then 1, 2, 4 ... up to 60."""
        if self.count <= 1:
            return 0.0
        return float(min(FIRST_DELAY * 2.0 ** min(self.count - 2, 16), LONGEST_DELAY))

    @property
    def is_loop(self) -> bool:
        """Whether this is a crash loop."""
        return self.count >= CRASH_LOOP


def after_exit(failures: Failures, ready_for: float) -> Failures:
    """Count the exit of a process that had been ready for `ready_for` seconds, 0 if never."""
    return Failures(1 if ready_for >= STABLE else failures.count + 1)


def after_start_error(failures: Failures) -> Failures:
    """Count a command that could not be run at all: an immediate restart would not help."""
    return Failures(max(CRASH_LOOP, failures.count + 1))
