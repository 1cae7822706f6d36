"""A replica after SIGTERM: it answers what it holds, and the others know of it until then."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from tests.gateway.cluster.harness import Running, listed, replica, two
from tests.gateway.cluster.watch_server import WatchServer, pod
from tests.gateway.support import DONE, LAST, SSE_HEAD, answer, body, chunk, event, get, post
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def leave(found: Running, grace: float = 30.0) -> asyncio.Task[None]:
    return asyncio.create_task(found.replica.leave(grace, asyncio.Event()))


async def test_held_requests_are_answered_by_the_old_replica(api: WatchServer, listen: Any) -> None:
    backend = await listen(answer())
    async with two(api) as (a, b):
        asked = [asyncio.create_task(a.edge.ask(post())) for _ in range(50)]
        await a.edge.held(50)
        await listed(api, a, ready=False, serving=False, terminating=True)
        [subscriber] = a.replica.peer_server._subscribers
        leaving = leave(a)
        await until(lambda: a.gateway.draining)
        refused = await a.edge.ask(get("/readyz"))
        assert (refused.status, refused.body) == (503, b"draining\n")
        assert refused.headers["connection"] == "close"
        await until(lambda: b.gateway.pending("m") == 50)
        async with replica(api, "c") as c:  # the next one of the rollout finds it too
            await c.ready()
            assert c.gateway.pending("m") == 50
        late = asyncio.create_task(a.edge.ask(post()))  # a client that was led here a moment ago
        await until(lambda: b.gateway.pending("m") == 51)
        assert not leaving.done()
        await api.slice("m-backend", pod(ready=False), port=backend.port)
        answers = await asyncio.gather(*asked, late)
        assert {each.status for each in answers} == {200}
        assert all(each.headers["connection"] == "close" for each in answers)
        await leaving
        assert subscriber in a.replica.peer_server._subscribers  # the other replica received reports all along
        await a.replica.stop()
        await until(lambda: not len(b.replica.reports), "it said goodbye")
        assert b.gateway.pending("m") <= 1  # its lease


async def test_keda_is_sent_elsewhere_while_unary_calls_go_on(api: WatchServer) -> None:
    async with two(api) as (a, b):
        held = asyncio.create_task(a.edge.ask(post(content=body(stream=True))))
        await a.edge.held()
        keda = a.keda()
        stream = keda.stream("m")
        assert await stream.next() is True
        polls: list[bool] = []
        codes: list[grpc.StatusCode] = []

        async def poll() -> None:
            while True:
                try:
                    polls.append(await keda.is_active("m"))
                except grpc.aio.AioRpcError as error:  # on its way when the server stopped; KEDA, too, asks once more
                    codes.append(error.code())
                    polls.append(await keda.is_active("m"))
                await asyncio.sleep(0.002)

        polling = asyncio.create_task(poll())
        await until(lambda: len(polls) > 10)
        leaving = leave(a)
        assert await stream.next() is None
        assert await stream.call.code() is grpc.StatusCode.OK
        count = len(polls)
        await until(lambda: len(polls) > count + 50)
        assert not polling.done()
        assert all(polls)
        assert len(codes) <= 1, codes
        # The connection that it had is closed; a call by address is served.
        assert await a.keda().is_active("m")
        again = a.keda().stream("m")
        assert await again.next() is True
        assert b.replica.peer_client.connected
        assert b.gateway.pending("m") == 1
        polling.cancel()
        a.edge.wires[0].abort()
        await leaving
        held.cancel()


async def test_an_idle_replica_goes_at_once(api: WatchServer) -> None:
    async with replica(api) as found:
        await found.ready()
        idle = await found.edge.connect()
        idle.send(get("/healthz"))
        await idle.answer()
        stream = found.keda().stream("m")
        assert await stream.next() is False
        await asyncio.wait_for(leave(found, 900), 3)
        assert await stream.next() is None
        assert await idle.ended()


async def test_a_replica_serves_who_is_still_sent_to_it(api: WatchServer, listen: Any) -> None:
    """Load balancers learn late that it goes: idle is no reason to close the door."""
    backend = await listen(answer())
    await api.slice("m-backend", pod(), port=backend.port)
    async with replica(api, settle=0.5) as found:
        await found.ready()
        await until(lambda: found.usable() == 1)
        begun = found.gateway.now()
        leaving = leave(found, 900)
        await until(lambda: found.gateway.draining)
        assert (await found.edge.ask(post())).status == 200
        await asyncio.wait_for(leaving, 3)
        assert found.gateway.now() >= begun + 0.5


async def test_nobody_is_turned_away_before_others_can_be_found(api: WatchServer, listen: Any) -> None:
    """Whoever is sent away at once comes back here, because load balancers still lead here."""
    go = asyncio.Event()

    async def handler(call: Any) -> None:
        await call.read_body()
        if call.json.get("stream"):
            call.send(SSE_HEAD + chunk(event("a")))
            await go.wait()
            call.send(chunk(DONE) + LAST)
        else:
            call.send(answer())

    backend = await listen(handler)
    await api.services("m", "n")
    await api.slice("m-backend", pod(), port=backend.port)
    async with two(api, settle=1.0) as (a, b):
        await until(lambda: a.usable() == 1)
        stream = a.keda().stream("n")
        assert await stream.next() is False
        silent, asks, streams = [await a.edge.connect() for _ in range(3)]
        for wire in (silent, asks):
            wire.send(post())
            assert "connection" not in (await wire.answer()).headers
        streams.send(post(content=body(stream=True)))
        await until(lambda: len(backend.requests) == 3)
        begun = a.gateway.now()
        leaving = leave(a, 900)
        await until(lambda: a.gateway.draining)
        asks.send(post())
        assert (await asks.answer()).headers["connection"] == "close"
        assert await asks.ended()
        # Where the head is sent already, and did not say so, the connection is good for one more request.
        go.set()
        assert "connection" not in (await streams.answer()).headers
        streams.send(post())
        assert (await streams.answer()).headers["connection"] == "close"
        assert await streams.ended()
        held = asyncio.create_task(b.edge.ask(post(content=body(model="n"))))
        assert await stream.next() is True  # demand that begins at another replica is pushed
        assert a.gateway.now() < begun + 1
        assert await silent.ended()
        assert await stream.next() is None
        assert a.gateway.now() >= begun + 1
        await asyncio.wait_for(leaving, 3)
        held.cancel()


@pytest.mark.parametrize("deleted", ["namespace", "namespace is gone", "services"])
async def test_nobody_waits_for_what_was_deleted(
    api: WatchServer, deleted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No backend will come, and no client is sent here any more: waiting requests are refused, and the replica exits."""
    monkeypatch.setattr("hearth_gateway.cluster.service_sync.DELETED_AFTER", 0.5)
    async with replica(api, settle=900) as found:
        await found.ready()
        asked = asyncio.create_task(found.edge.ask(post()))
        stream = asyncio.create_task(found.edge.ask(post(content=body(stream=True))))
        await found.edge.held(2)
        if deleted == "namespace":
            api.namespace_ends = True
        elif deleted == "namespace is gone":
            api.refuse["namespaces"] = 404
        else:
            await api.delete("configmaps", "hearth-gateway")
        await asyncio.wait_for(leave(found, 900), 5)
        refused, cut = await asked, await stream
        assert (refused.status, refused.reason) == (404, "model_not_found")
        assert cut.failed
        assert b"was removed while the request waited" in cut.body


async def test_services_that_come_back_are_still_waited_for(
    api: WatchServer, listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes the ConfigMap by hand, or nobody may read the namespace: what is held is held."""
    monkeypatch.setattr("hearth_gateway.cluster.service_sync.DELETED_AFTER", 0.5)
    backend = await listen(answer())
    api.refuse["namespaces"] = 403
    async with replica(api) as found:
        await found.ready()
        asked = asyncio.create_task(found.edge.ask(post()))
        await found.edge.held(1)
        await api.delete("configmaps", "hearth-gateway")
        leaving = leave(found, 900)
        await until(lambda: found.gateway.draining)
        await api.services("m")
        await asyncio.sleep(0.7)  # longer than LOST_AFTER: nothing tells that nothing happens
        assert not asked.done()
        await api.slice("m-backend", pod(ready=False), port=backend.port)
        assert (await asked).status == 200
        await asyncio.wait_for(leaving, 3)


async def test_services_that_come_back_late_are_waited_for_again(
    api: WatchServer, listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearth_gateway.cluster.service_sync.DELETED_AFTER", 0.1)
    backend = await listen(answer())
    async with replica(api) as found:
        await found.ready()
        reading = await found.edge.connect()  # a request on its way keeps the replica
        reading.send(post()[:-1])
        lost = asyncio.create_task(found.edge.ask(post()))
        await found.edge.held(1)
        await api.delete("configmaps", "hearth-gateway")
        leaving = leave(found, 900)
        assert (await lost).status == 404
        await api.services("m")
        await until(lambda: found.replica.services._deleted_at is None)
        await asyncio.sleep(0.1)
        reading.send(post()[-1:])
        await found.edge.held(1)
        await api.slice("m-backend", pod(ready=False), port=backend.port)
        assert (await reading.answer()).status == 200
        await asyncio.wait_for(leaving, 3)


async def test_the_grace_ends_the_wait(api: WatchServer) -> None:
    async with replica(api) as found:
        await found.ready()
        asked = asyncio.create_task(found.edge.ask(post(content=body(stream=True))))
        await found.edge.held()
        await asyncio.wait_for(leave(found, 0.1), 3)
        await found.gateway.stop(0)
        refused = await asked
        assert refused.failed
        assert not refused.body.endswith(LAST) or b"error" in refused.body


async def test_a_second_signal_ends_the_wait(api: WatchServer) -> None:
    async with replica(api) as found:
        await found.ready()
        asked = asyncio.create_task(found.edge.ask(post()))
        await found.edge.held()
        cut = asyncio.Event()
        leaving = asyncio.create_task(found.replica.leave(900, cut))
        await until(lambda: found.gateway.draining)
        cut.set()
        await asyncio.wait_for(leaving, 3)
        await found.gateway.stop(0)
        assert (await asked).reason == "stopping"


async def test_leases_are_left_to_the_others(api: WatchServer) -> None:
    """In reject mode no request waits here, but a client has a Retry-After."""
    reject = {"name": "m", "namespace": "ns", "coldStart": {"mode": "reject"}, "activationTimeoutSeconds": 120}
    await api.services(reject, "n")
    async with two(api) as (a, b):
        assert (await a.edge.ask(post())).reason == "cold_start"
        await until(lambda: b.gateway.pending("m") == 1)
        assert b.gateway.stats("m").demand == 0
        stream = b.keda().stream("m")
        assert await stream.next() is True
        await leave(a)
        await a.gateway.stop(0)
        await a.replica.stop()
        await until(lambda: b.gateway.stats("m").demand == 1, "it is its own now")
        assert 100 < b.gateway.services["m"].lease_left() <= 120
        assert b.gateway.pending("m") == 1
        assert b.gateway.pending("n") == 0
        assert b.replica.scaler.pushes == 0


async def test_a_replica_that_asks_itself_hears_nothing_new(api: WatchServer) -> None:
    async with replica(api, "") as found:
        await listed(api, found)
        await found.ready()
        await until(lambda: found.replica.peer_client.all_reported() and found.replica.peer_client.peers == 1)
        found.gateway.wake("m")
        await until(lambda: found.replica.peer_server._subscribers)
        [subscriber] = found.replica.peer_server._subscribers
        await until(lambda: subscriber.sent == {"m": (0, True)})
        assert found.gateway.pending("m") == 1
