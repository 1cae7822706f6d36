"""Services and backends from the API server, whatever it does."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hearth_gateway import Endpoint
from hearth_gateway.cluster import api_client, reflector
from hearth_gateway.cluster import replica as cluster

from ..support import answer, body, get, post, until
from .api import FakeApi, pod, serving
from .replica import Replica, replica

pytestmark = pytest.mark.asyncio(loop_scope="session")

Backends = Callable[..., Any]


async def ask(found: Replica, path: str = "/readyz") -> Any:
    return await found.edge.ask(get(path))


async def test_services_and_backends_come_from_the_api(api: FakeApi, listen: Backends) -> None:
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


async def test_backends_that_were_there_before_their_service(api: FakeApi, listen: Backends) -> None:
    backend = await listen(answer())
    await api.slice("n-backend", pod(), port=backend.port)
    async with replica(api) as found:
        await found.ready()
        await api.services("m", "n")
        await until(lambda: "n" in found.gateway.services)
        assert found.usable("n") == 1


async def test_a_replica_that_is_not_ready_is_probed(api: FakeApi, listen: Backends) -> None:
    backend = await listen(answer())
    async with replica(api) as found:
        await found.ready()
        asked = asyncio.create_task(found.edge.ask(post()))
        await found.edge.held()
        await api.slice("m-backend", pod(ready=False), port=backend.port)
        assert (await asked).headers["x-hearth-cold-start"] == "true"
        probes = backend.probes
        for _ in range(5):
            await found.edge.ask(post())
        assert backend.probes == probes  # none while warm


async def test_a_terminating_replica_gets_no_new_request(api: FakeApi, listen: Backends) -> None:
    old, new = await listen(answer(b'"old"')), await listen(answer(b'"new"'))
    async with replica(api) as found:
        await found.ready()
        await api.slice("m-backend", pod(name="a"), port=old.port, name="s1")
        assert (await found.edge.ask(post())).json == "old"
        await api.slice("m-backend", pod(name="b"), port=new.port, name="s2")
        await api.slice("m-backend", pod(name="a", ready=False, terminating=True), port=old.port, name="s1")
        await until(lambda: found.usable() == 1 and found.gateway.services["m"].backends["uid-a"].terminating)
        assert [(await found.edge.ask(post())).json for _ in range(3)] == ["new"] * 3


async def test_a_watch_that_breaks_goes_on_where_it_was(api: FakeApi) -> None:
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        for count in range(1, 4):
            await api.slice("m-backend", pod(name=f"p{count}"), port=count)
            await until(lambda: f"uid-p{count}" in found.gateway.services["m"].backends)  # noqa: B023
            api.cut()
            await until(lambda: len(api.watches["endpointslices"]) > count)  # noqa: B023
        assert api.lists == {"configmaps": 1, "endpointslices": 1}
        assert api.watches["endpointslices"][-1] > api.watches["endpointslices"][0]
        assert found.cluster.slice_watch.state.errors == {"connection": 3}


async def test_a_version_that_is_too_old_is_listed_anew(api: FakeApi) -> None:
    """What went missing in the gap is noticed: a backend that is gone, a service that is gone."""
    await api.services("m", "n")
    await api.slice("m-backend", pod(), port=1)
    async with replica(api) as found:
        await found.ready()
        assert found.gateway.services["m"].backends
        api.deaf = True
        await api.delete("endpointslices", "m-backend-1")
        await api.services("m")
        await api.compact()
        api.deaf = False
        await until(lambda: not found.gateway.services["m"].backends, "the backend is gone")
        await until(lambda: set(found.gateway.services) == {"m"}, "the service is gone")
        assert api.lists == {"configmaps": 2, "endpointslices": 2}
        assert found.gateway.ready


async def test_a_bookmark_moves_the_version(api: FakeApi) -> None:
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        await api.compact()  # as if others' objects had changed; both watches are told
        await until(lambda: len(api.watches["endpointslices"]) == 2 and api.lists["endpointslices"] == 2)
        await api.put("configmaps", {"metadata": {"name": "other"}})
        await api.bookmark()
        version = str(api._version)
        await until(lambda: found.cluster.slice_watch._version == version)
        api.cut()
        await until(lambda: api.watches["endpointslices"][-1] == version)
        assert api.lists["endpointslices"] == 2


async def test_the_token_is_read_anew(api: FakeApi, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    api.token = "first"
    async with replica(api, token_file=token) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        api.token = "second"
        api.cut()
        await until(lambda: found.cluster.slice_watch.state.errors and "401" in found.cluster.slice_watch.state.errors)
        token.write_text("second\n")
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: found.gateway.services["m"].backends, "it watches again")
        token.unlink()  # kubelet replaces it by renaming; there may be a moment without
        api.cut()
        await until(lambda: found.cluster.slice_watch.state.last_error)
        token.write_text("second\n")
        await until(lambda: found.cluster.slice_watch.state.connected)
    assert "second" not in str(found.cluster.slice_watch.state)


async def test_warm_traffic_goes_on_without_the_api(api: FakeApi, listen: Backends) -> None:
    backend = await listen(answer())
    await api.slice("m-backend", pod(), port=backend.port)
    async with replica(api) as found:
        await found.ready()
        await api.stop()
        state = found.cluster.slice_watch.state
        await until(lambda: state.errors is not None and state.errors.get("connection", 0) >= 3)
        assert (await found.edge.ask(post())).json == {"ok": True}
        assert (await ask(found)).status == 200
        assert b'hearth_gateway_watch_connected{resource="endpointslices"} 0.0' in (await ask(found, "/metrics")).body
        await api.start()
        await api.services("m", "n")
        await until(lambda: "n" in found.gateway.services, "changes are seen again")


async def test_a_slow_api_delays_readiness_only(api: FakeApi) -> None:
    api.slow = asyncio.Event()
    async with replica(api) as found:
        await until(lambda: api.lists["configmaps"])
        refused = await ask(found)
        assert (refused.status, refused.body) == (503, b"the ConfigMap hearth-gateway was not read yet\n")
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
async def test_a_model_that_is_not_known_yet_is_not_told_to_be_unknown(kind: str, api: FakeApi) -> None:
    """A container that restarts while the API server is away; clients try a 503 again, and no 404."""
    api.slow = asyncio.Event()
    async with replica(api) as found:
        async with await found.edge.connect() as wire:
            for _ in range(2):  # on one connection
                wire.send(EARLY[kind])
                refused = await wire.answer()
                assert (refused.status, refused.reason, refused.headers["retry-after"]) == (503, "starting", "1")
                assert "read yet" in refused.error["message"]
        assert (await ask(found, "/metrics")).status == 200
        api.slow.set()


async def test_requests_are_held_before_the_backends_are_known(api: FakeApi) -> None:
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


async def test_rights_that_are_missing_are_said(api: FakeApi) -> None:
    api.refuse = {"configmaps": 403}
    async with replica(api) as found:
        await until(lambda: found.cluster.config_watch.state.last_error)
        await until(lambda: b"403: configmaps is forbidden" in str(found.gateway.waits_for).encode())
        api.refuse = {}
        await found.ready()


async def test_without_slices_the_address_of_the_service_is_used(
    api: FakeApi, listen: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, real = await listen(answer(b'"service"')), await listen(answer(b'"pod"'))
    monkeypatch.setattr(cluster, "FALLBACK_AFTER", 0.1)
    seen: list[tuple[str, str]] = []

    def fallback(service: str, namespace: str) -> Any:
        seen.append((service, namespace))
        [found] = original(service, namespace)
        assert (found.address, found.port, found.ready) == (f"{service}.{namespace}.svc", 80, False)
        return [type(found)(found.id, "127.0.0.1", backend.port)]

    original = cluster.fallback
    monkeypatch.setattr(cluster, "fallback", fallback)
    api.refuse = {"endpointslices": 403}
    async with replica(api) as found:
        await found.ready()
        assert (await found.edge.ask(post())).json == "service"
        await api.services("m", "n")
        await until(lambda: "n" in found.gateway.services)
        assert set(seen) == {("m-backend", "ns"), ("n-backend", "ns")}
        api.refuse = {}
        await api.slice("m-backend", pod(), port=real.port)
        await until(lambda: "uid-pod-0" in found.gateway.services["m"].backends)
        assert (await found.edge.ask(post())).json == "pod"
        assert not found.gateway.services["n"].backends


async def test_a_watch_that_is_lost_leaves_what_was_known_and_the_address_of_the_service(
    api: FakeApi, listen: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is asleep then starts where nobody tells; one that is awake is asked where it was."""
    known, started = await listen(answer(b'"known"')), await listen(answer(b'"started"'))
    monkeypatch.setattr(cluster, "FALLBACK_AFTER", 0.3)
    monkeypatch.setattr(cluster, "PACE", 0.02)
    monkeypatch.setattr(reflector, "MAX_DELAY", 0.3)

    def fallback(service: str, namespace: str) -> list[Endpoint]:
        return [Endpoint("service", "127.0.0.1", started.port)]

    monkeypatch.setattr(cluster, "fallback", fallback)
    await api.services("m", "n")
    await api.slice("m-backend", pod(), port=known.port)
    async with replica(api) as found:
        await found.ready()
        await until(lambda: found.cluster.slice_watch.state.connected)
        m, n = (found.gateway.services[name] for name in "mn")
        api.refuse = {"endpointslices": 401}
        api.cut()
        asked = asyncio.create_task(found.edge.ask(post(content=body(model="n"))))
        await until(lambda: found.cluster.slice_watch.state.errors)
        assert (set(m.backends), set(n.backends)) == ({"uid-pod-0"}, set())  # not at once
        assert (await asked).json == "started"
        assert (set(m.backends), set(n.backends)) == ({"uid-pod-0", "service"}, {"service"})
        assert [(await found.edge.ask(post())).json for _ in range(5)] == ["known"] * 5
        known.kill()
        assert (await found.edge.ask(post())).json == "started"
        await api.services("m", "n", "o")
        await until(lambda: "o" in found.gateway.services and found.gateway.services["o"].backends)
        api.refuse = {}
        await until(lambda: set(m.backends) == {"uid-pod-0"} and not n.backends, "it watches again")
        await asyncio.sleep(0.5)
        assert not n.backends
        assert api.lists["endpointslices"] == 1


async def test_a_watch_that_always_comes_back_is_not_lost(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "FALLBACK_AFTER", 1.0)
    monkeypatch.setattr(cluster, "PACE", 0.02)
    monkeypatch.setattr(reflector, "MAX_DELAY", 0.2)
    async with replica(api) as found:
        await found.ready()
        state = found.cluster.slice_watch.state
        begun = found.gateway.now()
        while found.gateway.now() < begun + 2:
            await until(lambda: state.connected)
            api.cut()
            await until(lambda: not state.connected)
            assert not found.cluster._falling_back


@pytest.mark.parametrize("document", ["", "{", "[]", "{}x", '{"services": {}}', '{"services": [], "more": 1}'])
async def test_a_document_that_cannot_be_read_changes_nothing(
    document: str, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    await api.services("m", "n")
    async with replica(api) as found:
        await found.ready()
        await api.config(document)
        await until(lambda: found.cluster.problems.total == 1)
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
        await until(lambda: found.gateway.waits_for == "there is no ConfigMap hearth-gateway")
        await api.config("{")
        await until(lambda: "cannot be used" in str(found.gateway.waits_for))
        await api.services("m")
        await found.ready()
        await api.delete("configmaps", "hearth-gateway")
        await api.put("configmaps", {"metadata": {"name": "other"}, "data": {"services.json": '{"services": []}'}})
        await until(lambda: not found.cluster._found)
        assert found.gateway.ready
        assert set(found.gateway.services) == {"m"}


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b'{"type": "ADDED"}\n',
        b'{"type": "ADDED", "object": {"metadata": {"name": 7}}}\n',
        b'{"type": "ADDED", "object": []}\n',
        b'{"type": "NEWS", "object": {}}\n',
        b'{"type": "ERROR", "object": {"code": 500, "message": "etcd is ill"}}\n',
        b"x" * 3000 + b"\n",
    ],
)
async def test_nonsense_in_a_watch_ends_nothing(line: bytes, api: FakeApi) -> None:
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        await api.inject(line)
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: found.gateway.services["m"].backends, "it watches again")
        assert found.gateway.ready


async def test_an_event_without_end_is_given_up(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "MAX_EVENT_BYTES", 10_000)
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        await api.inject(b"x" * 20_000)
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: found.gateway.services["m"].backends, "it watches again")


async def test_a_silent_watch_is_given_up(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "SILENCE", 0.2)
    async with replica(api) as found:
        await found.ready()
        api.deaf = True
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: "timeout" in (found.cluster.slice_watch.state.errors or {}))
        api.deaf = False
        await until(lambda: found.gateway.services["m"].backends, "it watches again")
        assert api.lists["endpointslices"] == 1


async def test_long_lists_come_in_pages(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "PAGE", 3)
    for index in range(8):
        await api.slice("m-backend", pod(name=f"p{index}"), port=1, name=f"s{index}")
    async with replica(api) as found:
        await found.ready()
        assert len(found.gateway.services["m"].backends) == 8
        assert api.lists["endpointslices"] == 3


async def test_a_mistake_of_ours_does_not_end_the_watch(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        take = found.cluster.take_slices
        broken = [True]

        def once(services: Any) -> None:
            if broken.pop() if broken else False:
                raise KeyError("oops")
            take(services)

        monkeypatch.setattr(found.cluster, "take_slices", once)
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: found.gateway.services["m"].backends, "it was listed anew")
        assert "oops" in caplog.text
