"""Server: what the connections of one gateway share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hearth_gateway.connections import Connections
from hearth_gateway.http.connector import Connector
from hearth_gateway.http.local_routes import GatewayView
from hearth_gateway.http.router import Router
from hearth_gateway.limits import GatewayLimits, RequestBudget


class Server(GatewayView, Protocol):
    """A gateway as its connections see it."""

    limits: GatewayLimits
    budget: RequestBudget
    connections: Connections
    connector: Connector
    router: Router
    closing: bool
    """Whether no connection stays open after its response."""

    def now(self) -> float:
        """Return the event loop's time, in seconds."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back in the event loop's next turn."""
