"""Screen of `hearth up`, as local mode sees it; the command line has the real ones."""

from __future__ import annotations

from typing import Literal, Protocol

from hearth.local.supervisor import Supervisor

Severity = Literal["info", "warning", "error"]


class Screen(Protocol):
    """Place where events are shown."""

    def report(self, service: str, text: str, severity: Severity = "info") -> None:
        """Show an event; `service` is empty for one that concerns all of them."""

    def started(self, supervisor: Supervisor, port: int) -> None:
        """Show the services from now on; the gateway listens on `port`."""

    def stopping(self) -> None:
        """Show that `hearth up` is stopping: the next signal aborts what is in flight."""
