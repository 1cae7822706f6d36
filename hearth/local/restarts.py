"""When a backend that ended by itself is started again. Pure; seconds."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
STABLE = 60.0
"""A process that was ready for this long has proved itself: its end starts the count anew."""
CRASH_LOOP = 2
"""This many failures in a row are a crash loop: somebody has to look."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Ends in a row without a stable time in between. `delay` is what the next start waits."""

    count: int = 0

    @property
    def delay(self) -> float:
        """The first restart comes at once, as the kubelet's does; then 1 s, 2 s, 4 s ... up to a minute."""
        if self.count <= 1:
            return 0.0
        return float(min(FIRST_DELAY * 2.0 ** min(self.count - 2, 16), LONGEST_DELAY))

    @property
    def is_loop(self) -> bool:
        return self.count >= CRASH_LOOP


def after_exit(failures: Failures, ready_for: float) -> Failures:
    """The process ended; `ready_for` is how long it had been ready, 0 if never."""
    return Failures(1 if ready_for >= STABLE else failures.count + 1)


def after_start_error(failures: Failures) -> Failures:
    """The command could not be run at all: trying again at once would not help."""
    return Failures(max(CRASH_LOOP, failures.count + 1))
