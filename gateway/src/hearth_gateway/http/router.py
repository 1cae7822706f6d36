"""Router: the route and the service that a request line leads to, as far as the line alone says."""

from __future__ import annotations

from typing import NamedTuple

from hearth_gateway.http.routes import ROUTES, AnyRoute, Route, find_route
from hearth_gateway.policy.service import Service
from hearth_gateway.table import MAX_MEMO, MAX_MEMO_KEY, ServiceTable


class Match(NamedTuple):
    """The outcome for one request target; `rewritten` is the target for a backend where that is another one."""

    route: AnyRoute | None = None
    service: Service | None = None
    rewritten: bytes | None = None


class Router:
    """Routing with one table of services, and a memory for what was seen before."""

    def __init__(self, table: ServiceTable) -> None:
        self.lines: dict[bytes, tuple[Route, Service | None]] = {}
        """Request lines that lead to inference, and need no rewriting."""
        self._table = table
        self._matches = {path: Match(route) for path, route in ROUTES.items()}

    def match(self, target: bytes) -> Match:
        """Return what a request target leads to; without a route: there is no such path."""
        known = self._matches.get(target)
        if known is not None:
            return known
        found = self._find(target)
        small = len(self._matches) < MAX_MEMO and len(target) <= MAX_MEMO_KEY
        if found.route is not None and small and b"?" not in target:
            self._matches[target] = found
        return found

    def _find(self, target: bytes) -> Match:
        absolute = target.startswith((b"http://", b"HTTP://"))
        whole = b"/" + target[7:].partition(b"/")[2] if absolute else target
        path, mark, query = whole.partition(b"?")
        route = find_route(path)
        if route is not None:
            return Match(route, None, whole if absolute else None)
        prefixed = self._table.prefixed(path)
        if prefixed is None:
            return Match()
        service, rest = prefixed
        return Match(find_route(rest), service, rest + mark + query)

    def remember(self, line: bytes, route: Route, service: Service | None) -> None:
        """Keep the outcome of a request line that leads to inference without rewriting."""
        if len(self.lines) < MAX_MEMO and len(line) <= MAX_MEMO_KEY:
            self.lines[line] = route, service
