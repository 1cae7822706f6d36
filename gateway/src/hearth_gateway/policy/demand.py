"""Demand for a service over all replicas of the gateway, and when it begins. No sockets.

Every question of a scaler, in push or in poll mode, is answered from here, so that the answers agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hearth_gateway.policy.reports import Reports, Share


class Demand:
    """The demand of this replica and what the others report. `own` returns None for a service that is not served here.

    Requests are added up. Replicas that keep a model awake for clients that may come back count as 1 together, and only where
    there are no requests: they may all mean the same clients.
    """

    def __init__(self, own: Callable[[str], Share | None], reports: Reports) -> None:
        self._own = own
        self._reports = reports
        self._active: set[str] = set()  # services whose demand was above 0 when it last changed
        self._subscribers: list[Callable[[str], None]] = []

    def total(self, name: str) -> int | None:
        """Return the demand of all replicas; None: the service is not served here, so it is unknown."""
        own = self._own(name)
        if own is None:
            return None
        others = self._reports.total(name)
        return Share(own.requests + others.requests, own.wanted or others.wanted).demand

    def on_activation(self, callback: Callable[[str], None]) -> None:
        """Call back when the total of a service leaves zero, and only then."""
        self._subscribers.append(callback)

    def changed(self, names: Iterable[str]) -> None:
        """Compare the demand of these services with what it was, and call back where it left zero."""
        for name in names:
            if not self.total(name):
                self._active.discard(name)
            elif name not in self._active:
                self._active.add(name)
                for callback in self._subscribers:
                    callback(name)
