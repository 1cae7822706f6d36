"""What /metrics says, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .service import WAIT_BUCKETS, Service

if TYPE_CHECKING:
    from .gateway import Gateway

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_SERVICE = ["service", "namespace"]
_ACTIVATION_EVENTS = ("given_up", "ready", "started")
_WATCHED_REASONS = ("activation_timeout", "queue_full")


def render(gateway: Gateway) -> bytes:
    """The exposition of this moment."""
    registry = CollectorRegistry()
    registry.register(_GatewayCollector(gateway))
    return generate_latest(registry)


class _GatewayCollector(Collector):
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterable[Metric]:
        services = list(self._gateway.services.values())
        connections = GaugeMetricFamily("hearth_gateway_connections", "Open client connections.")
        connections.add_metric([], len(self._gateway.connections))
        yield connections
        yield from _gauges(services)
        yield from _counters(services)
        unrouted = CounterMetricFamily(
            "hearth_gateway_refused", "Requests that no service was found for.", labels=["reason"]
        )
        for reason, count in sorted(self._gateway.unrouted.items()):
            unrouted.add_metric([reason], count)
        yield unrouted
        yield _waits(services)
        for collect in self._gateway.collectors:
            yield from collect()


def _labels(service: Service) -> list[str]:
    return [service.config.name, service.config.namespace]


def _gauges(services: list[Service]) -> Iterable[Metric]:
    pending = GaugeMetricFamily("hearth_gateway_pending", "Requests held for a backend.", labels=_SERVICE)
    held_bytes = GaugeMetricFamily("hearth_gateway_pending_bytes", "Bytes of held requests.", labels=_SERVICE)
    limit = GaugeMetricFamily("hearth_gateway_pending_limit", "Requests that may be held at once.", labels=_SERVICE)
    bytes_limit = GaugeMetricFamily(
        "hearth_gateway_pending_bytes_limit", "Bytes of requests that may be held at once.", labels=_SERVICE
    )
    in_flight = GaugeMetricFamily("hearth_gateway_in_flight", "Requests at a backend.", labels=_SERVICE)
    demand = GaugeMetricFamily(
        "hearth_gateway_demand", "What a scaler acts on: held, in flight, leased.", labels=_SERVICE
    )
    usable = GaugeMetricFamily(
        "hearth_gateway_usable_backends", "Backends that requests may be sent to.", labels=_SERVICE
    )
    for service in services:
        stats = service.stats()
        labels = _labels(service)
        pending.add_metric(labels, stats.held)
        held_bytes.add_metric(labels, stats.held_bytes)
        limit.add_metric(labels, service.config.limits.max_held)
        bytes_limit.add_metric(labels, service.config.limits.max_held_bytes)
        in_flight.add_metric(labels, stats.in_flight)
        demand.add_metric(labels, stats.demand)
        usable.add_metric(labels, stats.usable)
    return pending, held_bytes, limit, bytes_limit, in_flight, demand, usable


def _counters(services: list[Service]) -> Iterable[Metric]:
    requests = CounterMetricFamily(
        "hearth_gateway_requests", "Ended requests; 499: the client left.", labels=[*_SERVICE, "code"]
    )
    rejections = CounterMetricFamily(
        "hearth_gateway_rejections", "Requests that were refused.", labels=[*_SERVICE, "reason"]
    )
    activations = CounterMetricFamily(
        "hearth_gateway_activation_events", "Activations started, ready, given up.", labels=[*_SERVICE, "event"]
    )
    replays = CounterMetricFamily(
        "hearth_gateway_replays", "Requests sent again before their first byte.", labels=_SERVICE
    )
    for service in services:
        labels, counters = _labels(service), service.counters
        for code, count in sorted(counters.codes.items()):
            requests.add_metric([*labels, str(code)], count)
        # Those that alerts watch, from the start: a rate over a series that begins at 1 misses the first one.
        for reason, count in sorted((dict.fromkeys(_WATCHED_REASONS, 0) | counters.rejections).items()):
            rejections.add_metric([*labels, reason], count)
        for event in _ACTIVATION_EVENTS:
            activations.add_metric([*labels, event], counters.activations.get(event, 0))
        replays.add_metric(labels, counters.replays)
    return requests, rejections, activations, replays


def _waits(services: list[Service]) -> Metric:
    waits = HistogramMetricFamily(
        "hearth_gateway_activation_wait_seconds", "How long held requests waited until release.", labels=_SERVICE
    )
    for service in services:
        counters = service.counters
        total, buckets = 0, []
        for bound, count in zip(WAIT_BUCKETS, counters.wait_buckets, strict=True):
            total += count
            buckets.append((str(bound), total))
        buckets.append(("+Inf", counters.wait_count))
        waits.add_metric(_labels(service), buckets=buckets, sum_value=counters.wait_sum)
    return waits
