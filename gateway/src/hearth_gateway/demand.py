"""The demand of a service over all replicas of the gateway, and when it begins. No sockets.

Every question of a scaler, whichever way it comes, is answered from here, so that the answers agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .reports import Reports


class Demand:
    """Own demand + what the others report. ``own`` gives None for a service that is not served here."""

    def __init__(self, own: Callable[[str], int | None], reports: Reports) -> None:
        self._own = own
        self._reports = reports
        self._active: set[str] = set()  # services whose demand was seen to be above 0, last time it changed
        self._subscribers: list[Callable[[str], None]] = []

    def own(self, name: str) -> int | None:
        """What this replica holds; None: it does not serve that."""
        return self._own(name)

    def total(self, name: str) -> int | None:
        """What all replicas hold; None: not served here, so nothing can be said."""
        own = self._own(name)
        return None if own is None else own + self._reports.total(name)

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
