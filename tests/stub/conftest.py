"""Fixtures that start stubs and talk to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest

from tests.stub.support import Stub, launch


@pytest.fixture
def start() -> Iterator[Callable[..., Stub]]:
    """Start stubs: `start(*flags, env={...}, wait=True)`. All of them are gone after the test."""
    stubs: list[Stub] = []

    def starter(*argv: str, env: dict[str, str] | None = None, wait: bool = True) -> Stub:
        stub = launch(*argv, env=env)
        stubs.append(stub)
        if wait:
            stub.wait_started()
        return stub

    yield starter
    for stub in stubs:
        stub.close()


@pytest.fixture(scope="session")
def shared() -> Iterator[Stub]:
    """One stub for tests that leave no trace in it: 16 tokens, developer routes."""
    stub = launch(env={"STUB_TOKEN_COUNT": "16", "VLLM_SERVER_DEV_MODE": "1"})
    stub.wait_started()
    yield stub
    stub.close()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
