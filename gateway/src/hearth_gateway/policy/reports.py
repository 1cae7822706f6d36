"""What the other replicas said of their own demand, kept until it is too old to believe. No sockets.

A report belongs to a process, not to a pod: a container that was killed and is back reports nothing held, but the clients that it
lost are about to try again, and what they wanted must not be stopped meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

EXPIRY = 15.0  # seconds that the report of a replica counts after its last message
MAX_INSTANCES = 256  # processes whose reports are kept; restarts in a row must not fill the memory


class Share(NamedTuple):
    """What one replica, or several together, have of the demand for a service. Who has requests wants it, too."""

    requests: int  # held and in flight
    wanted: bool  # to be kept awake, if only for clients that may come back

    @property
    def demand(self) -> int:
        """Requests; at least 1 while it is wanted."""
        return self.requests or int(self.wanted)


NOTHING = Share(0, wanted=False)


class _Report:
    __slots__ = ("heard", "shares")

    def __init__(self, heard: float) -> None:
        self.heard = heard
        self.shares: dict[str, Share] = {}


class Reports:
    """The sum of what others report, by service. Each change returns the names of the services whose sum is another one now."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._reports: dict[str, _Report] = {}
        self._totals: dict[str, tuple[int, int]] = {}  # requests, and how many replicas want it

    def total(self, name: str) -> Share:
        """What the other replicas have of the demand for a service."""
        requests, wanting = self._totals.get(name, (0, 0))
        return Share(requests, wanting > 0)

    def __len__(self) -> int:
        return len(self._reports)

    def take(self, instance: str, shares: Mapping[str, Share], *, full: bool) -> set[str]:
        """A message of a replica: its whole demand, or what changed of it (NOTHING: none any more)."""
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
        """A replica has answered everything it held, and goes."""
        report = self._reports.pop(instance, None)
        return set() if report is None else {name for name in list(report.shares) if self._set(report, name, NOTHING)}

    def expire(self) -> set[str]:
        """Drop reports that nobody renewed."""
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
