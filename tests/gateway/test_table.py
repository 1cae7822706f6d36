"""The table of services when it changes; nothing here listens or connects."""

from __future__ import annotations

import asyncio

import pytest

from hearth_gateway import Endpoint, Gateway, parse_services
from hearth_gateway.http.probe import Prober
from hearth_gateway.policy.backend import Backend
from hearth_gateway.policy.service import Service
from tests.gateway.policy.support import FakeRequest, make_config, make_endpoint
from tests.support.clock import FakeClock


def table(*entries: dict[str, object]) -> Gateway:
    gateway = Gateway()
    gateway.apply(parse_services({"services": entries}))
    return gateway


STATIC = {"name": "m", "endpoints": [{"address": "127.0.0.1", "port": 9001}]}


async def test_static_endpoints_come_and_go_with_the_file() -> None:
    gateway = table(STATIC)
    assert list(gateway.services["m"].backends) == ["127.0.0.1:9001"]
    gateway.apply(parse_services({"services": [{"name": "m"}]}))
    assert gateway.services["m"].backends == {}


async def test_endpoints_of_who_embeds_the_gateway_stay_when_the_table_changes() -> None:
    gateway = table({"name": "m"})
    gateway.set_endpoints("m", [make_endpoint()])
    service = gateway.services["m"]
    gateway.apply(parse_services({"services": [{"name": "m", "aliases": ["x"]}, {"name": "n"}]}))
    assert gateway.services["m"] is service
    assert len(service.backends) == 1
    assert gateway.table.by_model["x"] is service


async def test_a_service_that_goes_refuses_what_it_holds_and_takes_back_nothing() -> None:
    gateway = table({"name": "m"}, {"name": "n"})
    told: list[str] = []
    gateway.subscribe(told.append)
    service = gateway.services["m"]
    service.set_endpoints([Endpoint("a", "127.0.0.1", 1, ready=True)])
    running = FakeRequest()
    service.admit(running)
    backend = running.backend
    assert isinstance(backend, Backend)
    gateway.apply(parse_services({"services": [{"name": "n"}]}))
    service.retry(running, backend)
    assert running.failure is not None
    assert (running.failure.status, running.failure.reason) == (404, "model_not_found")
    assert told == ["m"]
    with pytest.raises(KeyError):
        gateway.stats("m")


async def test_a_service_that_comes_back_under_its_name_is_probed_at_once() -> None:
    class Watched(Service):
        def probe_targets(self) -> list[Backend]:
            asked.set()
            return []

    asked = asyncio.Event()
    prober, clock = Prober(), FakeClock()
    old, new = (Watched(make_config(), clock, on_edge=lambda _: None, on_cold=prober.ensure) for _ in range(2))
    old.wake()
    await asyncio.wait_for(asked.wait(), 5)
    asked.clear()
    old.close()
    new.wake()
    await asyncio.wait_for(asked.wait(), 0.05)  # before the old one's next look, which would be too late
    await prober.stop()
