"""The services of the gateway follow its ConfigMap, whatever is in it."""

from __future__ import annotations

import json

import pytest

from tests.gateway.cluster.harness import Backends, ask, replica
from tests.gateway.cluster.watch_server import WatchServer, pod, serving
from tests.gateway.support import answer, post
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_services_and_backends_come_from_the_api(api: WatchServer, listen: Backends) -> None:
    backend = await listen(answer())
    async with replica(api) as found:
        await found.ready()
        assert (await ask(found)).status == 200
        await api.slice("m-backend", pod(), port=backend.port)
        assert (await found.edge.ask(post())).json == {"ok": True}
        await api.services("m", "n", notices=json.dumps({"n": "the image is\nbeing pulled"}))
        await until(lambda: "n" in found.gateway.services)
        assert found.gateway.stats("n").notice == "the image is being pulled"
        await api.services("n")
        await until(lambda: set(found.gateway.services) == {"n"})
        assert found.gateway.stats("n").notice is None
    assert {"fieldSelector": "metadata.name=hearth-gateway", "limit": "500"} in api.queries


@pytest.mark.parametrize("document", ["", "{", "[]", "{}x", '{"services": {}}', '{"services": [], "more": 1}'])
async def test_a_document_that_cannot_be_read_changes_nothing(
    document: str, api: WatchServer, caplog: pytest.LogCaptureFixture
) -> None:
    await api.services("m", "n")
    async with replica(api) as found:
        await found.ready()
        await api.config(document)
        await until(lambda: found.replica.services.problems.total == 1)
        assert set(found.gateway.services) == {"m", "n"}
        assert "hearth-gateway: services.json" in caplog.text
        metrics = (await ask(found, "/metrics")).body
        assert b"hearth_gateway_config_errors_total 1.0" in metrics
        assert b"hearth_gateway_config_problems 1.0" in metrics
        await api.services("n")
        await until(lambda: set(found.gateway.services) == {"n"})
        assert b"hearth_gateway_config_problems 0.0" in (await ask(found, "/metrics")).body


async def test_a_config_map_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as api, replica(api) as found:
        await until(lambda: found.gateway.waits_for == "the ConfigMap hearth-gateway does not exist")
        await api.config("{")
        await until(lambda: "is invalid" in str(found.gateway.waits_for))
        await api.services("m")
        await found.ready()
        await api.delete("configmaps", "hearth-gateway")
        await api.put("configmaps", {"metadata": {"name": "other"}, "data": {"services.json": '{"services": []}'}})
        await until(lambda: not found.replica.services._exists)
        assert found.gateway.ready
        assert set(found.gateway.services) == {"m"}
