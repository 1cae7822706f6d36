"""Fixtures: an API server that does what a test wants.

All tests here share one event loop (each module says so): grpc's library still has callbacks for a loop that was
closed, and fails in the next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio

from tests.gateway.cluster.watch_server import WatchServer, serving
from tests.gateway.support import Backend, Handler, plays


@pytest_asyncio.fixture(loop_scope="session")
async def api() -> AsyncIterator[WatchServer]:
    """Provide an API server with the service `m`, which has no backend."""
    async with serving("m") as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def listen() -> AsyncIterator[Callable[..., Any]]:
    """Provide a function that starts a backend from its handler; it is in no EndpointSlice, and gone after the test."""
    started: list[Backend] = []

    async def starter(handler: Handler | bytes) -> Backend:
        started.append(Backend(handler if callable(handler) else plays(handler)))
        await started[-1].listen()
        return started[-1]

    yield starter
    for backend in started:
        backend.kill()
