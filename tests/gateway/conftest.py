"""Fixtures: a gateway in the test's own event loop (uvloop, as in production), backends and stubs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
import uvloop

from tests.gateway.support import Backend, Edge, Handler, Process, plays, running, start_stub


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """Yield a gateway with one service, `m`, that has no backend yet."""
    async with running() as found:
        found.serve("m")
        yield found


@pytest.fixture
async def backend(edge: Edge) -> AsyncIterator[Callable[..., Any]]:
    """Yield a function that starts a Backend with a handler, attached to `m` unless `attach` is false."""
    started: list[Backend] = []

    async def start(handler: Handler | bytes, *, attach: bool = True, ready: bool = True, name: str = "m") -> Backend:
        found = Backend(handler if callable(handler) else plays(handler))
        await found.listen()
        started.append(found)
        if attach:
            edge.backends(found.port, name=name, ready=ready)
        return found

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Yield a function that starts a stub with these arguments; it stops after the test."""
    processes: list[Process] = []

    def starter(*argv: str, **more: Any) -> Process:
        process = start_stub(*argv, **more)
        processes.append(process)
        return process

    yield starter
    for process in processes:
        process.close()


@pytest.fixture(scope="session")
def stub() -> Iterator[Process]:
    """One stub for tests that leave no trace in it."""
    process = start_stub()
    yield process
    process.close()
