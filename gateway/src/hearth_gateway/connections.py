"""Connections of clients that are open now, and what is done to all of them: limits, sweeps, drain and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from hearth_gateway.limits import GatewayLimits
from hearth_gateway.policy.failure import Failure

LINGER = 5.0
"""Seconds that a refused sender may go on sending until its connection is cut."""


class Connection(Protocol):
    """One connection, as much of it as matters here."""

    transport: asyncio.Transport

    @property
    def idle(self) -> bool:
        """Whether no request is on it, not even in part."""

    @property
    def busy(self) -> bool:
        """Whether a stop should wait for it: it is not closed, or its last bytes are not sent yet."""

    def fail(self, failure: Failure) -> None:
        """Respond with `failure` and close."""

    def sweep(self, now: float) -> None:
        """End what took too long."""

    def drain(self) -> None:
        """Announce in the response that is next that it is the last one, if its head is not written yet."""

    def close_idle(self) -> None:
        """Close, if idle."""

    def stop(self, failure: Failure) -> None:
        """End a request that is being read, or that a backend has, with `failure`."""


class Connections:
    """The set of open connections."""

    def __init__(self, limits: GatewayLimits) -> None:
        self.unrouted: dict[str, int] = {}
        """Requests refused before their service was known, by reason."""
        self._maximum = limits.max_connections
        self._open: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._open))

    def add(self, connection: Connection) -> None:
        """Take a new connection, or turn it away when there are too many."""
        self._open.add(connection)
        if len(self._open) > self._maximum:
            text = f"The gateway has {self._maximum} connections open, its limit. Retry later."
            connection.fail(Failure(503, "too_many_connections", text, retry_after=1))

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.discard(connection)

    def count_unrouted(self, failure: Failure) -> None:
        """Count a request that was refused before its service was known."""
        self.unrouted[failure.reason] = self.unrouted.get(failure.reason, 0) + 1

    def linger(self, connection: Connection) -> None:
        """Close a connection whose client may still be sending, after a chance to read why.

        Closing at once would reset the connection, and the client would never see the response.
        """
        asyncio.get_running_loop().call_later(LINGER, connection.transport.abort)
        if connection.transport.can_write_eof():
            connection.transport.write_eof()

    def sweep(self, now: float) -> None:
        """End what took too long, on every connection."""
        for connection in self:
            connection.sweep(now)

    def drain(self) -> None:
        """Make the next response on every connection its last one."""
        for connection in self:
            connection.drain()

    def close_idle(self) -> None:
        """Close every connection that no request is on."""
        for connection in self:
            connection.close_idle()

    @property
    def busy(self) -> bool:
        """Whether any request is being read, held or at a backend, or a response not read to its end."""
        return any(not each.idle and each.busy for each in self._open)

    async def settle(self, seconds: float) -> None:
        """Wait until everything is answered and closed, for `seconds` at most."""
        await self._until(lambda: not any(each.busy for each in self._open), seconds, 0.02)

    async def stop(self, failure: Failure, flush: float) -> None:
        """End every request with `failure`, and every connection after `flush` seconds at most."""
        for connection in self:
            connection.stop(failure)
        await self._until(lambda: not any(each.transport.get_write_buffer_size() for each in self._open), flush, 0.01)
        for connection in self:
            connection.transport.abort()

    @staticmethod
    async def _until(condition: Callable[[], bool], seconds: float, interval: float) -> None:
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        while not condition() and now() < deadline:
            await asyncio.sleep(interval)
