"""Connector: new connections to backends for requests that find none in the pool, and the pools of idle ones."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable
from typing import Protocol

from hearth_gateway.http.upstream import Upstream
from hearth_gateway.policy.backend import Backend

CONNECT_TIMEOUT = 5.0
"""Seconds."""
POOL_IDLE = 4.0
"""Seconds; vLLM closes an idle connection after 5 s (VLLM_HTTP_TIMEOUT_KEEP_ALIVE)."""


class Waiting(Protocol):
    """The exchange that a connection is for."""

    serial: int

    def waits_for(self, backend: Backend, serial: int) -> bool:
        """Whether a connection to `backend` is still wanted for the request with that number."""

    def connected(self, upstream: Upstream) -> None:
        """Take the connection."""

    def connect_failed(self, backend: Backend, why: str, *, exhausted: bool) -> None:
        """Go on without one; `exhausted`: this process can open no more of them."""


class Connector:
    """Opens connections in tasks of its own."""

    def __init__(self) -> None:
        self.draining = False
        """Whether a connection that is wanted no longer is closed, not kept for another request."""
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, exchange: Waiting, backend: Backend) -> None:
        """Open a connection for a request; the outcome is for `exchange`, if it still waits for it."""
        task = asyncio.get_running_loop().create_task(self._connect(exchange, backend, exchange.serial))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, exchange: Waiting, backend: Backend, serial: int) -> None:
        try:
            upstream = await open_upstream(backend)
        except (OSError, TimeoutError) as error:
            if exchange.waits_for(backend, serial):
                exhausted = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS)
                why = f"{backend.address}:{backend.port}: {str(error) or 'no answer within 5 s'}"
                exchange.connect_failed(backend, why, exhausted=exhausted)
            return
        if exchange.waits_for(backend, serial):
            exchange.connected(upstream)
        elif self.draining:
            upstream.abort()
        else:
            upstream.leave()

    async def stop(self) -> None:
        """Open no more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def open_upstream(backend: Backend) -> Upstream:
    """Return a new connection. Raises OSError and TimeoutError."""
    async with asyncio.timeout(CONNECT_TIMEOUT):
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(lambda: Upstream(backend), backend.address, backend.port)
        return upstream


def sweep_pools(backends: Iterable[Backend], interval: float) -> None:
    """Close connections that are idle for so long that their backend is about to do it. Call it every `interval` seconds."""
    for backend in backends:
        for upstream in list(backend.pool):
            upstream.idle_sweeps += 1
            if upstream.idle_sweeps * interval >= POOL_IDLE:
                backend.pool.remove(upstream)
                upstream.abort()


def empty_pools(backends: Iterable[Backend]) -> None:
    """Close all idle connections."""
    for backend in backends:
        for upstream in list(backend.pool):
            upstream.abort()
        backend.pool.clear()
