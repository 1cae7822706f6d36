"""What the other replicas said of their own demand, kept until it is too old to believe. No sockets.

A report belongs to a process, not to a pod: a container that was killed and is back reports nothing held, but the clients that it
lost are about to try again, and what they wanted must not be stopped meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

EXPIRY = 15.0  # seconds that the report of a replica counts after its last message
MAX_INSTANCES = 256  # processes whose reports are kept; restarts in a row must not fill the memory


class _Report:
    __slots__ = ("demand", "heard")

    def __init__(self, heard: float) -> None:
        self.heard = heard
        self.demand: dict[str, int] = {}


class Reports:
    """The sum of what others report, by service. Each change returns the names of the services whose sum is another one now."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._reports: dict[str, _Report] = {}
        self._totals: dict[str, int] = {}

    def total(self, name: str) -> int:
        """Demand that the other replicas hold for a service."""
        return self._totals.get(name, 0)

    def __len__(self) -> int:
        return len(self._reports)

    def take(self, instance: str, demand: Mapping[str, int], *, full: bool) -> set[str]:
        """A message of a replica: its whole demand, or what changed of it (0: none any more)."""
        report = self._reports.get(instance)
        if report is None:
            if len(self._reports) >= MAX_INSTANCES:
                return set()
            report = self._reports[instance] = _Report(self._now())
        report.heard = self._now()
        changes = dict(demand)
        if full:
            changes.update(dict.fromkeys(report.demand.keys() - demand.keys(), 0))
        return {name for name, value in changes.items() if self._set(report, name, max(0, value))}

    def forget(self, instance: str) -> set[str]:
        """A replica has answered everything it held, and goes."""
        report = self._reports.pop(instance, None)
        return set() if report is None else {name for name in list(report.demand) if self._set(report, name, 0)}

    def expire(self) -> set[str]:
        """Drop reports that nobody renewed."""
        limit = self._now() - EXPIRY
        changed: set[str] = set()
        for instance in [key for key, report in self._reports.items() if report.heard < limit]:
            changed |= self.forget(instance)
        return changed

    def _set(self, report: _Report, name: str, value: int) -> bool:
        change = value - report.demand.get(name, 0)
        if not change:
            return False
        total = self._totals.get(name, 0) + change
        for table, new in ((report.demand, value), (self._totals, total)):
            if new:
                table[name] = new
            else:
                del table[name]
        return True
