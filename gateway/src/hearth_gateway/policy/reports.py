"""Reports of the other replicas on their own demand, kept until they expire. No sockets.

A report belongs to a process, not to a pod: a container that was killed and restarted holds nothing, but the clients that it
lost are about to try again, and the models that they need must not be stopped before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

EXPIRY = 15.0
"""Seconds that the report of a replica counts after its last message."""
MAX_INSTANCES = 256
"""Processes whose reports are kept; repeated restarts must not fill the memory."""


class Share(NamedTuple):
    """The part of one replica, or of several together, in the demand for a service. With requests, it is also `wanted`."""

    requests: int
    """Held and in flight."""
    wanted: bool
    """Whether to keep it awake, if only for clients that may come back."""

    @property
    def demand(self) -> int:
        """The requests; at least 1 while the service is wanted."""
        return self.requests or int(self.wanted)


NOTHING = Share(0, wanted=False)


class _Report:
    __slots__ = ("heard", "shares")

    def __init__(self, heard: float) -> None:
        self.heard = heard
        self.shares: dict[str, Share] = {}


class Reports:
    """The sum of all reports, by service. Each change returns the names of the services whose sum changed."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._reports: dict[str, _Report] = {}
        self._totals: dict[str, tuple[int, int]] = {}  # requests, and the number of replicas that want it

    def total(self, name: str) -> Share:
        """Return the part of the other replicas in the demand for a service."""
        requests, wanting = self._totals.get(name, (0, 0))
        return Share(requests, wanting > 0)

    def __len__(self) -> int:
        return len(self._reports)

    def take(self, instance: str, shares: Mapping[str, Share], *, full: bool) -> set[str]:
        """Apply a message of a replica: its whole demand if `full`, else what changed of it (NOTHING: none is left)."""
        report = self._reports.get(instance)
        if report is None:
            if len(self._reports) >= MAX_INSTANCES:
                return set()
            report = self._reports[instance] = _Report(self._now())
        report.heard = self._now()
        changes = dict(shares)
        if full:
            changes.update(dict.fromkeys(report.shares.keys() - shares.keys(), NOTHING))
        return {name for name, share in changes.items() if self._set(report, name, share)}

    def forget(self, instance: str) -> set[str]:
        """Drop the report of a replica that has answered everything it held, and exits."""
        report = self._reports.pop(instance, None)
        return set() if report is None else {name for name in list(report.shares) if self._set(report, name, NOTHING)}

    def expire(self) -> set[str]:
        """Drop reports that were not renewed in time."""
        limit = self._now() - EXPIRY
        changed: set[str] = set()
        for instance in [key for key, report in self._reports.items() if report.heard < limit]:
            changed |= self.forget(instance)
        return changed

    def _set(self, report: _Report, name: str, new: Share) -> bool:
        old = report.shares.pop(name, NOTHING)
        if new.wanted:
            report.shares[name] = new
        if new == old:
            return False
        requests, wanting = self._totals.pop(name, (0, 0))
        wanting += new.wanted - old.wanted
        if wanting:
            self._totals[name] = requests + new.requests - old.requests, wanting
        return True
