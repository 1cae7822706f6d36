"""The external scaler of KEDA: the gateway reports whether there is demand for a model, and how much.

KEDA 2.20 decides the form of the answers (facts from its pkg/scalers/external_scaler.go):
- it waits for an answer without a deadline, and no push for that service gets through until then: all answers come from memory;
- an error leaves the replicas as they are, a 0 counts towards scaling down: a gateway that does not know reports an error, not 0;
- a pushed `true` starts the first replica at once, or else refreshes the cooldown: only beginnings are pushed, since a stream
  that repeats itself keeps a model awake; `false` is ignored, so it is not pushed;
- what happens while no stream is open is not repeated: the current state is the first message of each;
- every end of a stream but OK doubles the time until the next one, for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

from hearth_gateway.cluster.contract import DEFAULT_TARGET, METRIC, TARGET_KEY
from hearth_gateway.cluster.rpc import externalscaler_pb2 as pb
from hearth_gateway.policy.demand import Demand

MAX_NAME = 253
"""Characters of a name in Kubernetes, at most."""

MAX_TARGET = 1e15
"""The largest target, which is exact as an integer and as a float."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class _Stream:
    """One StreamIsActive of KEDA."""

    __slots__ = ("ended", "news", "wanted")

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.wanted = False  # the service became active since the last message
        self.ended = False


class ExternalScaler:
    """The four methods. `namespace_of` gives None for a service that is not served here."""

    def __init__(
        self, demand: Demand, namespace_of: Callable[[str], str | None], starting: Callable[[], str | None]
    ) -> None:
        self._demand = demand
        self._namespace_of = namespace_of
        self._starting = starting
        self._streams: dict[str, set[_Stream]] = {}
        self.streams = 0
        self.pushes = 0
        self.requests: dict[str, int] = {}
        demand.on_activation(self._push)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler for a gRPC server."""
        reference = pb.ScaledObjectRef.FromString
        return grpc.method_handlers_generic_handler(
            "externalscaler.ExternalScaler",
            {
                "IsActive": grpc.unary_unary_rpc_method_handler(
                    self._is_active, reference, pb.IsActiveResponse.SerializeToString
                ),
                "StreamIsActive": grpc.unary_stream_rpc_method_handler(
                    self._stream_is_active, reference, pb.IsActiveResponse.SerializeToString
                ),
                "GetMetricSpec": grpc.unary_unary_rpc_method_handler(
                    self._get_metric_spec, reference, pb.GetMetricSpecResponse.SerializeToString
                ),
                "GetMetrics": grpc.unary_unary_rpc_method_handler(
                    self._get_metrics, pb.GetMetricsRequest.FromString, pb.GetMetricsResponse.SerializeToString
                ),
            },
        )

    def end_streams(self) -> None:
        """End every open stream with OK: KEDA comes back after 2 s, to whichever replica its Service leads then."""
        for streams in self._streams.values():
            for stream in streams:
                stream.ended = True
                stream.news.set()

    def served(self, name: str) -> None:
        """Report the state of a service that is new here to the streams that waited for it."""
        if self._demand.total(name):
            self._push(name)

    async def _is_active(self, request: pb.ScaledObjectRef, context: Context) -> pb.IsActiveResponse:
        return pb.IsActiveResponse(result=await self._total(request, context, "IsActive") > 0)

    async def _get_metrics(self, request: pb.GetMetricsRequest, context: Context) -> pb.GetMetricsResponse:
        total = await self._total(request.scaledObjectRef, context, "GetMetrics")
        value = pb.MetricValue(
            metricName=request.metricName or METRIC, metricValue=total, metricValueFloat=float(total)
        )
        return pb.GetMetricsResponse(metricValues=[value])

    async def _get_metric_spec(self, request: pb.ScaledObjectRef, context: Context) -> pb.GetMetricSpecResponse:
        """Return the target, also for a service that is not known yet: KEDA would back off for longer and longer otherwise."""
        self._count("GetMetricSpec")
        text = request.scalerMetadata.get(TARGET_KEY, "") or str(DEFAULT_TARGET)
        try:
            target = float(text)
        except ValueError:
            target = 0.0
        if not 0 < target <= MAX_TARGET:
            why = f"metadata.{TARGET_KEY} of ScaledObject {request.name}: {text[:50]!r} is not a number above 0; correct it"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)
        spec = pb.MetricSpec(metricName=METRIC, targetSize=max(1, round(target)), targetSizeFloat=target)
        return pb.GetMetricSpecResponse(metricSpecs=[spec])

    async def _stream_is_active(self, request: pb.ScaledObjectRef, context: Context) -> None:
        """Send the current state, then `true` whenever demand begins. A service that is not known yet is waited for."""
        self._count("StreamIsActive")
        if len(request.name) > MAX_NAME:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"a name has at most {MAX_NAME} characters")
        stream = _Stream()
        streams = self._streams.setdefault(request.name, set())
        streams.add(stream)
        self.streams += 1
        try:
            if self._is_here(request) and self._starting() is None:
                stream.wanted = False
                await context.write(pb.IsActiveResponse(result=bool(self._demand.total(request.name))))
            while not stream.ended:
                await stream.news.wait()
                stream.news.clear()
                if stream.wanted and self._is_here(request):
                    stream.wanted = False
                    self.pushes += 1
                    await context.write(pb.IsActiveResponse(result=True))
        finally:
            self.streams -= 1
            streams.discard(stream)
            if not streams and self._streams.get(request.name) is streams:
                del self._streams[request.name]

    def _push(self, name: str) -> None:
        for stream in self._streams.get(name, ()):
            stream.wanted = True
            stream.news.set()

    def _is_here(self, request: pb.ScaledObjectRef) -> bool:
        return self._namespace_of(request.name) == request.namespace

    def _count(self, method: str) -> None:
        self.requests[method] = self.requests.get(method, 0) + 1

    async def _total(self, request: pb.ScaledObjectRef, context: Context, method: str) -> int:
        self._count(method)
        starting = self._starting()
        if starting is not None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"the gateway is starting: {starting}")
        total = self._demand.total(request.name) if self._is_here(request) else None
        if total is None:
            why = (
                f"the gateway does not serve {request.name[:MAX_NAME]!r} of namespace {request.namespace[:MAX_NAME]!r}"
            )
            await context.abort(grpc.StatusCode.NOT_FOUND, why)
        assert total is not None
        return total
