"""What KEDA hears, over its own protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.gateway.cluster.harness import agreed, replica
from tests.gateway.cluster.watch_server import WatchServer, pod
from tests.gateway.support import answer, get, post
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

Backends = Callable[..., Any]


async def refused(asked: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked
    return caught.value.code()


async def test_every_answer_is_the_same(api: WatchServer, listen: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_gateway.policy.service.LEASE_GRACE", 0.1)
    monkeypatch.setattr("hearth_gateway.cluster.replica.IDLE_NOTICE", 1.0)
    go = asyncio.Event()

    async def handler(call: Any) -> None:
        await call.read_body()
        await go.wait()
        call.send(answer())

    backend = await listen(handler)
    async with replica(api) as found:
        await found.ready()
        keda = found.keda()
        assert await agreed(found, keda) == 0
        asked = [asyncio.create_task(found.edge.ask(post())) for _ in range(3)]
        await found.edge.held(3)
        assert await agreed(found, keda) == 3
        await api.slice("m-backend", pod(), port=backend.port)
        await until(lambda: found.gateway.stats("m").in_flight == 3)
        assert await agreed(found, keda) == 3
        go.set()
        await asyncio.gather(*asked)
        await until(lambda: found.gateway.stats("m").demand == 0)
        assert await agreed(found, keda) == 1  # until the end of demand is reported
        await until(lambda: found.gateway.pending("m") == 0)
        assert await agreed(found, keda) == 0


async def test_the_target_comes_from_the_scaled_object(api: WatchServer) -> None:
    async with replica(api) as found:
        keda = found.keda()
        assert await keda.spec("m", targetValue="7") == ("hearth-demand", 7, 7.0)
        assert await keda.spec("m", targetValue="0.25") == ("hearth-demand", 1, 0.25)
        assert await keda.spec("m") == ("hearth-demand", 10, 10.0)
        assert await keda.spec("not-known-yet", targetValue="3") == ("hearth-demand", 3, 3.0)
        for bad in ("0", "-1", "nan", "inf", "many", "1e300"):
            assert await refused(keda.spec("m", targetValue=bad)) is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_not_known_is_no_zero(api: WatchServer) -> None:
    api.slow = asyncio.Event()
    async with replica(api) as found:
        keda = found.keda()
        for asked in (keda.is_active("m"), keda.value("m")):
            assert await refused(asked) is grpc.StatusCode.UNAVAILABLE
        api.slow.set()
        await found.ready()
        assert await keda.is_active("m") is False
        for asked in (keda.is_active("n"), keda.value("n"), keda.is_active("m", "other"), keda.value("")):
            if asked is not None:
                assert await refused(asked) is grpc.StatusCode.NOT_FOUND


async def test_a_beginning_is_pushed_once(api: WatchServer, listen: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_gateway.policy.service.LEASE_GRACE", 0.1)
    monkeypatch.setattr("hearth_gateway.cluster.replica.IDLE_NOTICE", 0.1)
    backend = await listen(answer())
    async with replica(api) as found:
        await found.ready()
        keda = found.keda()
        stream = keda.stream("m")
        assert await stream.next() is False
        assert found.replica.scaler.streams == 1
        asked = [asyncio.create_task(found.edge.ask(post())) for _ in range(5)]
        assert await stream.next() is True
        await api.slice("m-backend", pod(), port=backend.port)
        await asyncio.gather(*asked)
        for _ in range(20):
            await found.edge.ask(post())
        assert found.replica.scaler.pushes == 1
        await until(lambda: found.gateway.pending("m") == 0)
        await found.edge.ask(post())  # awake, and wanted again: KEDA counts its cooldown from here
        assert await stream.next() is True
        assert found.replica.scaler.pushes == 2
        stream.close()
        await until(lambda: found.replica.scaler.streams == 0)


async def test_a_stream_begins_with_the_state(api: WatchServer) -> None:
    async with replica(api) as found:
        await found.ready()
        asked = asyncio.create_task(found.edge.ask(post()))
        await found.edge.held()
        keda = found.keda()
        stream = keda.stream("m")
        assert await stream.next() is True
        other = keda.stream("m", "other")
        unknown = keda.stream("n")
        await until(lambda: found.replica.scaler.streams == 3)
        await api.services("m", "n")
        await until(lambda: "n" in found.gateway.services)
        found.gateway.wake("n")
        assert await unknown.next() is True
        assert found.replica.scaler.pushes == 1
        other.close()
        asked.cancel()


async def test_a_stream_that_was_open_before_the_start_ended(api: WatchServer) -> None:
    api.slow = asyncio.Event()
    async with replica(api) as found:
        stream = found.keda().stream("m")
        await until(lambda: found.replica.scaler.streams == 1)
        await until(lambda: api.lists["endpointslices"])
        slow, api.slow = api.slow, None
        monkeyed = asyncio.create_task(found.edge.ask(get("/readyz")))
        assert (await monkeyed).status == 503
        slow.set()
        await found.ready()
        asked = asyncio.create_task(found.edge.ask(post()))
        assert await stream.next() is True
        asked.cancel()


async def test_a_service_that_goes_and_comes_is_pushed_anew(api: WatchServer) -> None:
    async with replica(api) as found:
        await found.ready()
        stream = found.keda().stream("m")
        assert await stream.next() is False
        found.gateway.wake("m")
        assert await stream.next() is True
        await api.services("n")
        await until(lambda: set(found.gateway.services) == {"n"})
        await api.services("m", "n")
        await until(lambda: "m" in found.gateway.services)
        found.gateway.wake("m")
        assert await stream.next() is True


async def test_streams_end_in_order(api: WatchServer) -> None:
    """Every other ending makes KEDA wait longer and longer before it comes back."""
    async with replica(api) as found:
        await found.ready()
        streams = [found.keda().stream("m") for _ in range(3)]
        for stream in streams:
            assert await stream.next() is False
        stopping = asyncio.create_task(found.replica.stop())
        for stream in streams:
            assert await stream.next() is None
            assert await stream.call.code() is grpc.StatusCode.OK
        await stopping


async def test_many_services_are_answered_together(api: WatchServer) -> None:
    """A thousand streams and polls on one connection, as KEDA has them."""
    names = [f"m{index}" for index in range(300)]
    await api.services(*names)
    async with replica(api) as found:
        await found.ready()
        keda = found.keda()
        streams = [keda.stream(name) for name in names]
        assert not any(await asyncio.gather(*(stream.next() for stream in streams)))
        found.gateway.wake("m7")
        assert await streams[7].next() is True
        values = await asyncio.gather(*(keda.value(name) for name in names))
        assert [index for index, value in enumerate(values) if value] == [7]
        metrics = (await found.edge.ask(get("/metrics"))).body
        assert b"hearth_gateway_scaler_streams 300.0" in metrics
        assert b'hearth_gateway_scaler_requests_total{method="GetMetrics"} 300.0' in metrics
        assert b'hearth_gateway_total_demand{namespace="ns",service="m7"} 1\n' in metrics
