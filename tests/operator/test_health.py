"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from hearth.api import HearthError
from hearth.operator.health import Health
from hearth.operator.metrics import Metrics


class Served:
    def __init__(self) -> None:
        self.problem: str | None = None
        self.unready: str | None = "starting"
        self.health = Health("127.0.0.1", 0, Metrics(), alive=lambda: self.problem, ready=lambda: self.unready)

    async def get(self, path: str) -> tuple[int, str]:
        address = f"http://127.0.0.1:{self.health.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(address) as response:
            return response.status, await response.text()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    async with served.health:
        yield served


async def test_what_is_wrong_is_said(served: Served) -> None:
    assert await served.get("/healthz") == (200, "ok\n")
    assert await served.get("/readyz") == (503, "starting\n")
    served.problem, served.unready = "stuck: ns/m", None
    assert await served.get("/healthz") == (503, "stuck: ns/m\n")
    assert await served.get("/readyz") == (200, "ok\n")


async def test_metrics_are_read_when_they_are_asked_for(served: Served) -> None:
    assert "hearth_operator_leader 0.0" in (await served.get("/metrics"))[1]


async def test_a_port_that_is_taken_is_said_with_its_option(served: Served) -> None:
    with pytest.raises(HearthError, match=f"--listen: port {served.health.port} cannot be used"):
        async with Health("127.0.0.1", served.health.port, Metrics(), alive=lambda: None, ready=lambda: None):
            pass
