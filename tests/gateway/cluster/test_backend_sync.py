"""The backends of the gateway follow EndpointSlices, and Services while those cannot be watched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hearth_gateway import Endpoint
from hearth_gateway.cluster import backend_sync
from tests.gateway.cluster.harness import Backends, replica
from tests.gateway.cluster.watch_server import WatchServer, pod
from tests.gateway.support import answer, body, post
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_backends_that_were_there_before_their_service(api: WatchServer, listen: Backends) -> None:
    backend = await listen(answer())
    await api.slice("n-backend", pod(), port=backend.port)
    async with replica(api) as found:
        await found.ready()
        await api.services("m", "n")
        await until(lambda: "n" in found.gateway.services)
        assert found.usable("n") == 1


async def test_a_replica_that_is_not_ready_is_probed(api: WatchServer, listen: Backends) -> None:
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


async def test_a_terminating_replica_gets_no_new_request(api: WatchServer, listen: Backends) -> None:
    old, new = await listen(answer(b'"old"')), await listen(answer(b'"new"'))
    async with replica(api) as found:
        await found.ready()
        await api.slice("m-backend", pod(name="a"), port=old.port, name="s1")
        assert (await found.edge.ask(post())).json == "old"
        await api.slice("m-backend", pod(name="b"), port=new.port, name="s2")
        await api.slice("m-backend", pod(name="a", ready=False, terminating=True), port=old.port, name="s1")
        await until(lambda: found.usable() == 1 and found.gateway.services["m"].backends["uid-a"].terminating)
        assert [(await found.edge.ask(post())).json for _ in range(3)] == ["new"] * 3


async def test_without_slices_the_address_of_the_service_is_used(
    api: WatchServer, listen: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, real = await listen(answer(b'"service"')), await listen(answer(b'"pod"'))
    monkeypatch.setattr("hearth_gateway.cluster.replica.FALLBACK_AFTER", 0.1)
    seen: list[tuple[str, str]] = []

    def fallback(service: str, namespace: str) -> Any:
        seen.append((service, namespace))
        [found] = original(service, namespace)
        assert (found.address, found.port, found.ready) == (f"{service}.{namespace}.svc", 80, False)
        return [type(found)(found.id, "127.0.0.1", backend.port)]

    original = backend_sync.fallback
    monkeypatch.setattr("hearth_gateway.cluster.backend_sync.fallback", fallback)
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
    api: WatchServer, listen: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is asleep then starts where nobody tells; one that is awake is asked where it was."""
    known, started = await listen(answer(b'"known"')), await listen(answer(b'"started"'))
    monkeypatch.setattr("hearth_gateway.cluster.replica.FALLBACK_AFTER", 0.3)
    monkeypatch.setattr("hearth_gateway.cluster.replica.INTERVAL", 0.02)
    monkeypatch.setattr("hearth_gateway.cluster.reflector.MAX_DELAY", 0.3)

    def fallback(service: str, namespace: str) -> list[Endpoint]:
        return [Endpoint("service", "127.0.0.1", started.port)]

    monkeypatch.setattr("hearth_gateway.cluster.backend_sync.fallback", fallback)
    await api.services("m", "n")
    await api.slice("m-backend", pod(), port=known.port)
    async with replica(api) as found:
        await found.ready()
        await until(lambda: found.replica.slice_watch.state.connected)
        m, n = (found.gateway.services[name] for name in "mn")
        api.refuse = {"endpointslices": 401}
        api.cut()
        asked = asyncio.create_task(found.edge.ask(post(content=body(model="n"))))
        await until(lambda: found.replica.slice_watch.state.errors)
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


async def test_a_watch_that_always_comes_back_is_not_lost(api: WatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_gateway.cluster.replica.FALLBACK_AFTER", 1.0)
    monkeypatch.setattr("hearth_gateway.cluster.replica.INTERVAL", 0.02)
    monkeypatch.setattr("hearth_gateway.cluster.reflector.MAX_DELAY", 0.2)
    async with replica(api) as found:
        await found.ready()
        state = found.replica.slice_watch.state
        begun = found.gateway.now()
        while found.gateway.now() < begun + 2:
            await until(lambda: state.connected)
            api.cut()
            await until(lambda: not state.connected)
            assert not found.replica.backends.falling_back
