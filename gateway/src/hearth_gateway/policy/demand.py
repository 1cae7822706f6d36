"""The demand of a service over all replicas of the gateway, and when it begins. No sockets.

Every question of a scaler, whichever way it comes, is answered from here, so that the answers agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hearth_gateway.policy.reports import Reports, Share


class Demand:
    """Own demand + what the others report. ``own`` gives None for a service that is not served here.

    Requests are added up. That a replica wants a model awake for clients that may come back is worth 1, where there are no
    requests, however many replicas do: it is about the same clients.
    """

    def __init__(self, own: Callable[[str], Share | None], reports: Reports) -> None:
        self._own = own
        self._reports = reports
        self._active: set[str] = set()  # services whose demand was seen to be above 0, last time it changed
        self._subscribers: list[Callable[[str], None]] = []

    def total(self, name: str) -> int | None:
        """What all replicas hold; None: not served here, so nothing can be said."""
        own = self._own(name)
        if own is None:
            return None
        others = self._reports.total(name)
        return Share(own.requests + others.requests, own.wanted or others.wanted).demand

    def on_activation(self, callback: Callable[[str], None]) -> None:
        """Call back when the total of a service leaves zero, and only then."""
        self._subscribers.append(callback)

    def changed(self, names: Iterable[str]) -> None:
        """The demand of these services may be another one now."""
        for name in names:
            if not self.total(name):
                self._active.discard(name)
            elif name not in self._active:
                self._active.add(name)
                for callback in self._subscribers:
                    callback(name)
