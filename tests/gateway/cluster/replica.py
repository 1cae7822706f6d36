"""A whole replica of the gateway in the test's event loop, and KEDA's side of its gRPC port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from hearth_gateway import Gateway
from hearth_gateway.cluster.access import Access
from hearth_gateway.cluster.replica import Replica as Cluster
from hearth_gateway.cluster.replica import ReplicaOptions
from hearth_gateway.cluster.rpc import externalscaler_pb2 as pb
from hearth_gateway.listen import ListenAddress

from ..support import DEADLINE, HOST, Edge, until
from .api import NAMESPACE, FakeApi


class Keda:
    """What KEDA's operator does with one scaler address."""

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
        """What is pushed next; None: the stream ended with OK. Other endings raise."""
        found = await asyncio.wait_for(self.call.read(), DEADLINE)
        return found.result if isinstance(found, pb.IsActiveResponse) else None

    def close(self) -> None:
        self.call.cancel()


@dataclass
class Replica:
    """One gateway with everything around it."""

    edge: Edge
    cluster: Cluster
    name: str
    kedas: list[Keda] = field(default_factory=list)

    @property
    def gateway(self) -> Gateway:
        return self.edge.gateway

    @property
    def scaler_port(self) -> int:
        return self.cluster.server.port

    def keda(self) -> Keda:
        self.kedas.append(Keda(self.scaler_port))
        return self.kedas[-1]

    async def ready(self) -> None:
        await until(lambda: self.gateway.ready, f"{self.name} is ready: {self.gateway.waits_for}")

    def usable(self, name: str = "m") -> int:
        return self.gateway.stats(name).usable


@contextlib.asynccontextmanager
async def replica(
    api: FakeApi,
    name: str = "gw-0",
    *,
    token_file: Path | None = None,
    peers: str = "hearth-gateway",
    settle: float = 0.0,
) -> AsyncIterator[Replica]:
    """A started replica; errors that only the event loop saw fail the test."""
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: failures.append(context))
    edge = Edge(Gateway(), failures)
    await edge.gateway.start(HOST, 0)
    access = Access(api.url, NAMESPACE, token_file)
    options = ReplicaOptions("hearth-gateway", access, ListenAddress(HOST, 0), peers=peers, pod=name, settle=settle)
    found = Replica(edge, Cluster(edge.gateway, options), name)
    await found.cluster.start()
    try:
        yield found
    finally:
        for wire in edge.wires:
            wire.abort()
        for keda in found.kedas:
            await keda.channel.close()
        await asyncio.wait_for(edge.gateway.stop(0), DEADLINE)
        await asyncio.wait_for(found.cluster.stop(), DEADLINE)
    assert not failures, failures
