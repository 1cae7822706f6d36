"""Several replicas of one gateway: each answers with the total of all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hearth_gateway.cluster.peers import read_shares, write_shares
from hearth_gateway.cluster.rpc import peers_pb2 as pb
from hearth_gateway.listen import ListenAddress
from hearth_gateway.policy.reports import NOTHING, Share
from tests.gateway.cluster.harness import agreed, listed, replica, two
from tests.gateway.cluster.watch_server import WatchServer, pod
from tests.gateway.support import answer, get, post
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_any_replica_answers_with_the_total(api: WatchServer, listen: Any) -> None:
    backend = await listen(answer())
    async with two(api) as (a, b):
        keda = b.keda()
        stream = keda.stream("m")
        assert await stream.next() is False
        asked = [asyncio.create_task(a.edge.ask(post())) for _ in range(3)]
        assert await stream.next() is True  # the stream is at the other replica
        asked += [asyncio.create_task(b.edge.ask(post())) for _ in range(2)]
        for each in (a, b):
            await until(lambda: each.gateway.pending("m") == 5)  # noqa: B023
            assert await agreed(each, each.keda()) == 5
        assert b.replica.scaler.pushes == 1
        assert (await b.edge.ask(get("/m/hearth/queue"))).json["held"] == 2
        await api.slice("m-backend", pod(), port=backend.port)
        await asyncio.gather(*asked)
        metrics = (await b.edge.ask(get("/metrics"))).body
        assert b"hearth_gateway_peers 1.0" in metrics
        assert b"hearth_gateway_peers_connected 1.0" in metrics


async def test_one_client_is_one_request_wherever_it_is(api: WatchServer, listen: Any) -> None:
    """Each replica wants the model awake for a while after its last request; that is no second request."""
    backend = await listen(answer())
    await api.slice("m-backend", pod(), port=backend.port)
    async with two(api) as (a, b):
        for each in (a, b, a, b):
            await until(lambda: each.usable() == 1)  # noqa: B023
            assert (await each.edge.ask(post())).status == 200
        for each in (a, b):
            await until(lambda: each.replica.reports.total("m") == (0, True))  # noqa: B023
            assert await agreed(each, each.keda()) == 1
            assert (
                b'hearth_gateway_total_demand{namespace="ns",service="m"} 1\n'
                in (await each.edge.ask(get("/metrics"))).body
            )
        await api.slice("m-backend", port=1)
        await until(lambda: not a.usable() and not b.usable())
        asked = asyncio.create_task(a.edge.ask(post()))
        await a.edge.held()
        await until(lambda: b.replica.reports.total("m").requests == 1)
        for each in (a, b):
            assert await agreed(each, each.keda()) == 1
        asked.cancel()


async def test_leases_of_several_replicas_are_one(api: WatchServer) -> None:
    async with two(api) as (a, b):
        for each in (a, b):
            each.gateway.wake("m")
        for each in (a, b):
            await until(lambda: each.replica.reports.total("m").wanted)  # noqa: B023
            assert await agreed(each, each.keda()) == 1


async def test_a_replica_that_is_killed_is_believed_for_a_while(
    api: WatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearth_gateway.policy.reports.EXPIRY", 2.0)
    monkeypatch.setattr("hearth_gateway.cluster.replica.INTERVAL", 0.05)
    async with replica(api, "b") as b, replica(api, "a") as a:
        await listed(api, a, b)
        await a.ready()
        await b.ready()
        await until(lambda: b.replica.peer_client.connected)
        asked = asyncio.create_task(a.edge.ask(post()))
        await until(lambda: b.gateway.pending("m") == 1)
        server = a.replica.server._server
        assert server is not None
        await server.stop(None)
        await until(lambda: not b.replica.peer_client.connected, "the stream broke")
        assert b.gateway.pending("m") == 1
        await api.delete("endpointslices", "hearth-gateway-a")
        await until(lambda: not b.replica.peer_client.peers)
        assert b.gateway.pending("m") == 1
        await until(lambda: b.gateway.pending("m") == 0, "the report expires")
        asked.cancel()


async def test_a_container_that_is_back_does_not_take_its_forerunners_place(
    api: WatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clients were cut off and are about to come again; what they wanted must not be stopped meanwhile."""
    monkeypatch.setattr("hearth_gateway.cluster.replica.INTERVAL", 0.05)
    async with replica(api, "b") as b, replica(api, "a") as a:
        await listed(api, a, b)
        await a.ready()
        await b.ready()
        asked = asyncio.create_task(a.edge.ask(post()))
        await until(lambda: b.gateway.pending("m") == 1)
        server = a.replica.server._server
        assert server is not None
        await server.stop(None)
        await until(lambda: not b.replica.peer_client.connected, "the stream broke")
        async with replica(api, "a") as again:
            await listed(api, again)
            await until(lambda: b.replica.peer_client.connected and b.replica.peer_client.all_reported())
            assert len(b.replica.reports) == 2
            assert b.gateway.pending("m") == 1
        asked.cancel()


async def test_a_new_replica_knows_the_others_demand_before_it_is_ready(api: WatchServer) -> None:
    async with replica(api, "a") as a:
        await listed(api, a)
        await a.ready()
        asked = asyncio.create_task(a.edge.ask(post()))
        await a.edge.held()
        async with replica(api, "b") as b:
            await b.ready()
            assert b.gateway.pending("m") == 1
            assert await b.keda().is_active("m")
        asked.cancel()


async def test_a_replica_that_does_not_answer_is_waited_for_a_little(
    api: WatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearth_gateway.cluster.replica.PEERS_WAIT", 0.3)
    await api.slice("hearth-gateway", pod(name="gone"), port=1, port_name="scaler")
    async with replica(api, "b") as b:
        await until(lambda: b.gateway.waits_for == "waiting for demand reports from the other gateway replicas")
        await b.ready()
        await until(lambda: b.replica.peer_client.errors >= 2)


async def test_a_silent_stream_is_opened_anew(api: WatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_gateway.cluster.peers.SILENCE", 0.3)
    monkeypatch.setattr("hearth_gateway.cluster.peers.HEARTBEAT", 60.0)
    async with two(api) as (a, b):
        before = a.replica.peer_server
        subscribers = set(before._subscribers)
        await until(lambda: before._subscribers and not subscribers & before._subscribers, "asked again")
        asked = asyncio.create_task(a.edge.ask(post()))
        await until(lambda: b.gateway.pending("m") == 1)
        asked.cancel()


async def test_heartbeats_keep_a_quiet_stream(api: WatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_gateway.cluster.peers.COUNT_INTERVAL", 0.05)
    monkeypatch.setattr("hearth_gateway.cluster.peers.HEARTBEAT", 0.1)
    monkeypatch.setattr("hearth_gateway.cluster.peers.SILENCE", 1.0)
    async with two(api) as (a, b):
        [subscriber] = a.replica.peer_server._subscribers
        heard = b.replica.reports._reports[a.replica.peer_server._instance].heard
        await until(lambda: b.replica.reports._reports[a.replica.peer_server._instance].heard > heard + 1.5)
        assert a.replica.peer_server._subscribers == {subscriber}


async def test_replicas_ask_each_other_past_a_proxy(api: WatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks give every pod the company's proxy, which knows no pods."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with two(api) as (a, b):
        a.gateway.wake("m")
        await until(lambda: b.gateway.pending("m") == 1)


async def test_a_replica_that_cannot_be_reached_is_said_once(
    api: WatchServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("hearth_gateway.cluster.peers.UNREACHABLE_AFTER", 0.5)
    monkeypatch.setattr("hearth_gateway.cluster.peers.MAX_DELAY", 0.1)
    async with replica(api, "a") as a, replica(api, "b") as b:
        await listed(api, a, b)
        await until(lambda: a.replica.peer_client.connected and b.replica.peer_client.connected)
        server, port = a.replica.server._server, a.scaler_port
        assert server is not None
        await server.stop(None)
        a.replica.server._server = None
        errors = b.replica.peer_client.errors
        await until(lambda: "Failed to reach peer" in caplog.text)
        await until(lambda: b.replica.peer_client.errors > errors + 20)
        assert caplog.text.count(f"Failed to reach peer a at 127.0.0.1:{port}: ") == 1
        assert not b.replica.peer_client.connected
        await a.replica.server.start(ListenAddress("127.0.0.1", port))
        await until(lambda: b.replica.peer_client.connected)
        assert caplog.text.count(f"Reached peer a at 127.0.0.1:{port} again") == 1


async def test_a_replica_that_starts_or_goes_is_no_trouble(api: WatchServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with replica(api, "a") as a:
        await a.ready()
        await api.slice("hearth-gateway", pod(name="b"), port=1, port_name="scaler")
        await until(lambda: a.replica.peer_client.errors > 3)
        assert "peer" not in caplog.text


async def test_who_is_not_asked_any_more_is_not_connected(api: WatchServer) -> None:
    """The pod of a node that was lost is deleted while its stream is still open."""
    async with two(api) as (a, b):
        await api.delete("endpointslices", "hearth-gateway-a")
        await until(lambda: not b.replica.peer_client.peers)
        await until(lambda: not b.replica.peer_client.connected)
        assert b"hearth_gateway_peers_connected 0.0" in (await b.edge.ask(get("/metrics"))).body
        await listed(api, a)
        await until(lambda: b.replica.peer_client.connected)


async def test_replicas_of_two_versions_understand_each_other() -> None:
    """A replica that does not know `idle` takes it for one request, as before; and its own 1 is a request."""
    now = {"m": Share(3, wanted=True), "n": Share(0, wanted=True)}
    report = pb.Report(full=True, **write_shares(now))
    assert dict(report.demand) == {"m": 3, "n": 1}
    assert read_shares(report) == now
    assert read_shares(pb.Report(full=True, demand={"m": 1, "n": 0})) == {
        "m": Share(1, wanted=True),
        "n": NOTHING,
    }
    assert read_shares(pb.Report(**write_shares({"m": NOTHING}))) == {"m": NOTHING}
