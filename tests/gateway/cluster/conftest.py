"""Fixtures: an API server that does what a test wants."""

from collections.abc import AsyncIterator

import pytest

from .api import FakeApi, serving


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    """An API server with the service ``m``, which has no backend."""
    async with serving("m") as found:
        yield found
