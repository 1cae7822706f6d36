"""A replica: when it is ready, and what it answers until then and while the API server is away."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.cluster.harness import Backends, ask, replica
from tests.gateway.cluster.watch_server import WatchServer, pod
from tests.gateway.support import answer, body, get, post
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_warm_traffic_goes_on_without_the_api(api: WatchServer, listen: Backends) -> None:
    backend = await listen(answer())
    await api.slice("m-backend", pod(), port=backend.port)
    async with replica(api) as found:
        await found.ready()
        await api.stop()
        state = found.replica.slice_watch.state
        await until(lambda: state.errors is not None and state.errors.get("connection", 0) >= 3)
        assert (await found.edge.ask(post())).json == {"ok": True}
        assert (await ask(found)).status == 200
        assert b'hearth_gateway_watch_connected{resource="endpointslices"} 0.0' in (await ask(found, "/metrics")).body
        await api.start()
        await api.services("m", "n")
        await until(lambda: "n" in found.gateway.services, "changes are seen again")


async def test_a_slow_api_delays_readiness_only(api: WatchServer) -> None:
    api.slow = asyncio.Event()
    async with replica(api) as found:
        await until(lambda: api.lists["configmaps"])
        refused = await ask(found)
        assert (refused.status, refused.body) == (503, b"the ConfigMap hearth-gateway has not been read yet\n")
        assert (await ask(found, "/hearth/queue")).status == 503
        assert (await ask(found, "/healthz")).status == 200
        api.slow.set()
        await found.ready()
        assert (await ask(found, "/hearth/queue")).status == 200


EARLY = {
    "unary": post(),
    "stream": post(content=body(stream=True)),
    "no model": post(content=body(model=None)),
    "prefix": post("/m/v1/chat/completions"),
    "host": post(host="m.default.svc"),
    "not inference": post("/v1/load_lora_adapter"),
    "models": get("/v1/models"),
    "a model": get("/v1/models/m"),
    "models of a prefix": get("/m/v1/models"),
    "queue": get("/hearth/queue"),
    "queue of a prefix": get("/m/hearth/queue"),
}


@pytest.mark.parametrize("kind", list(EARLY))
async def test_a_model_that_is_not_known_yet_is_not_told_to_be_unknown(kind: str, api: WatchServer) -> None:
    """A container that restarts while the API server is away; clients try a 503 again, and no 404."""
    api.slow = asyncio.Event()
    async with replica(api) as found:
        async with await found.edge.connect() as wire:
            for _ in range(2):  # on one connection
                wire.send(EARLY[kind])
                refused = await wire.answer()
                assert (refused.status, refused.reason, refused.headers["retry-after"]) == (503, "starting", "1")
                assert "not been read yet" in refused.error["message"]
        assert (await ask(found, "/metrics")).status == 200
        api.slow.set()


async def test_requests_are_held_before_the_backends_are_known(api: WatchServer) -> None:
    """Which services there are is enough."""
    api.refuse = {"endpointslices": 403}
    async with replica(api) as found:
        await until(lambda: found.gateway.services)
        assert not found.gateway.ready
        async with await found.edge.connect() as wire:
            wire.send(post())
            await found.edge.held()
        assert (await ask(found, "/v1/models")).json["data"]
        assert (await ask(found, "/v1/models/none")).reason == "model_not_found"


async def test_rights_that_are_missing_are_said(api: WatchServer) -> None:
    api.refuse = {"configmaps": 403}
    async with replica(api) as found:
        await until(lambda: found.replica.config_watch.state.last_error)
        await until(lambda: b"403: configmaps is forbidden" in str(found.gateway.waits_for).encode())
        api.refuse = {}
        await found.ready()
