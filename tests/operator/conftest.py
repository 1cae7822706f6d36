"""An operator over an API server in memory, with one runtime and no services."""

from __future__ import annotations

import pytest

from tests.operator.harness import HOST, Harness
from tests.support.fake_api import FakeApi


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def harness(api: FakeApi) -> Harness:
    """Return an operator in a cluster with one runtime and no services."""
    harness = Harness(api, HOST)
    harness.runtime("engine")
    await harness.start()
    return harness
