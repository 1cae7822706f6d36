"""A whole replica of the gateway in the test's event loop, and KEDA's side of its gRPC port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from hearth_gateway import Gateway
from hearth_gateway.cluster.access import Access
from hearth_gateway.cluster.replica import Replica, ReplicaOptions
from hearth_gateway.cluster.rpc import externalscaler_pb2 as pb
from hearth_gateway.listen import ListenAddress
from tests.gateway.cluster.watch_server import NAMESPACE, WatchServer, pod
from tests.gateway.support import Edge, get
from tests.support.ports import HOST
from tests.support.waiting import DEADLINE, until

Backends = Callable[..., Any]
"""The fixture `listen`."""


class Keda:
    """The calls of KEDA's operator at one scaler address."""

    def __init__(self, port: int, host: str = HOST) -> None:
        self.channel = grpc.aio.insecure_channel(f"{host}:{port}", options=(("grpc.use_local_subchannel_pool", 1),))

    def reference(self, name: str, namespace: str = NAMESPACE, **metadata: str) -> pb.ScaledObjectRef:
        return pb.ScaledObjectRef(name=name, namespace=namespace, scalerMetadata=metadata)

    async def is_active(self, name: str, namespace: str = NAMESPACE) -> bool:
        call = self._unary("IsActive", pb.ScaledObjectRef, pb.IsActiveResponse)
        return bool((await call(self.reference(name, namespace), timeout=DEADLINE)).result)

    async def value(self, name: str, namespace: str = NAMESPACE) -> float:
        call = self._unary("GetMetrics", pb.GetMetricsRequest, pb.GetMetricsResponse)
        request = pb.GetMetricsRequest(scaledObjectRef=self.reference(name, namespace), metricName="hearth-demand")
        answer = await call(request, timeout=DEADLINE)
        assert [each.metricName for each in answer.metricValues] == ["hearth-demand"]
        assert answer.metricValues[0].metricValue == answer.metricValues[0].metricValueFloat
        return float(answer.metricValues[0].metricValueFloat)

    async def spec(self, name: str, **metadata: str) -> tuple[str, int, float]:
        call = self._unary("GetMetricSpec", pb.ScaledObjectRef, pb.GetMetricSpecResponse)
        answer = await call(self.reference(name, **metadata), timeout=DEADLINE)
        [found] = answer.metricSpecs
        return found.metricName, found.targetSize, found.targetSizeFloat

    def stream(self, name: str, namespace: str = NAMESPACE) -> Stream:
        call = self.channel.unary_stream(
            "/externalscaler.ExternalScaler/StreamIsActive",
            request_serializer=pb.ScaledObjectRef.SerializeToString,
            response_deserializer=pb.IsActiveResponse.FromString,
        )
        return Stream(call(self.reference(name, namespace)))

    def _unary(self, method: str, request: Any, response: Any) -> Any:
        return self.channel.unary_unary(
            f"/externalscaler.ExternalScaler/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )


class Stream:
    """One StreamIsActive."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def next(self) -> bool | None:
        """Return what is pushed next; None when the stream ended with OK. Other endings raise."""
        found = await asyncio.wait_for(self.call.read(), DEADLINE)
        return found.result if isinstance(found, pb.IsActiveResponse) else None

    def close(self) -> None:
        self.call.cancel()


@dataclass
class Running:
    """One gateway with everything around it."""

    edge: Edge
    replica: Replica
    name: str
    kedas: list[Keda] = field(default_factory=list)

    @property
    def gateway(self) -> Gateway:
        return self.edge.gateway

    @property
    def scaler_port(self) -> int:
        return self.replica.server.port

    def keda(self) -> Keda:
        self.kedas.append(Keda(self.scaler_port))
        return self.kedas[-1]

    async def ready(self) -> None:
        await until(lambda: self.gateway.ready, f"{self.name} is ready: {self.gateway.waits_for}")

    def usable(self, name: str = "m") -> int:
        return self.gateway.stats(name).usable


@contextlib.asynccontextmanager
async def replica(
    api: WatchServer,
    name: str = "gw-0",
    *,
    token_file: Path | None = None,
    peers: str = "hearth-gateway",
    settle: float = 0.0,
) -> AsyncIterator[Running]:
    """Start a replica; errors that only the event loop saw fail the test."""
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: failures.append(context))
    edge = Edge(Gateway(), failures)
    await edge.gateway.start(HOST, 0)
    access = Access(api.url, NAMESPACE, token_file)
    options = ReplicaOptions("hearth-gateway", access, ListenAddress(HOST, 0), peers=peers, pod=name, settle=settle)
    found = Running(edge, Replica(edge.gateway, options), name)
    await found.replica.start()
    try:
        yield found
    finally:
        for wire in edge.wires:
            wire.abort()
        for keda in found.kedas:
            await keda.channel.close()
        await asyncio.wait_for(edge.gateway.stop(0), DEADLINE)
        await asyncio.wait_for(found.replica.stop(), DEADLINE)
    assert not failures, failures


async def ask(found: Running, path: str = "/readyz") -> Any:
    """Return the answer to a GET."""
    return await found.edge.ask(get(path))


async def queue(found: Running, name: str = "m") -> int:
    pending = (await found.edge.ask(get(f"/{name}/hearth/queue"))).json["pending"]
    assert isinstance(pending, int)
    return pending


async def agreed(found: Running, keda: Keda, name: str = "m") -> int:
    """Every way of asking gives the same answer."""
    value = await keda.value(name)
    assert await keda.is_active(name) == (value > 0)
    assert await queue(found, name) == value
    assert found.gateway.pending(name) == value
    return int(value)


async def listed(api: WatchServer, *replicas: Running, **conditions: bool) -> None:
    """List these replicas in EndpointSlices of the gateway's Service; each has a port, and so a slice, of its own."""
    for each in replicas:
        await api.slice(
            "hearth-gateway",
            pod(name=each.name, **conditions),
            port=each.scaler_port,
            name=f"hearth-gateway-{each.name}",
            port_name="scaler",
        )


@contextlib.asynccontextmanager
async def two(api: WatchServer, settle: float = 0.0) -> AsyncIterator[tuple[Running, Running]]:
    """Start two replicas that know each other; the first one settles so long before it leaves."""
    async with replica(api, "a", settle=settle) as a, replica(api, "b") as b:
        await listed(api, a, b)
        for each in (a, b):
            await each.ready()
            await until(lambda: each.replica.peer_client.all_reported() and each.replica.peer_client.peers == 1)  # noqa: B023
        yield a, b
