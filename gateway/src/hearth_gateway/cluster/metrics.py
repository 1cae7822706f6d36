"""Metrics of a replica in a cluster, beside those of every gateway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hearth_gateway.cluster.configmap import Problems
from hearth_gateway.cluster.external_scaler import ExternalScaler
from hearth_gateway.cluster.peers import PeerClient
from hearth_gateway.cluster.reflector import WatchState


def collect(
    scaler: ExternalScaler, peers: PeerClient, watches: Sequence[WatchState], problems: Problems
) -> Iterable[Metric]:
    """Yield the families as they are now."""
    yield from _scaler(scaler)
    yield from _peers(peers)
    yield from _watches(watches)
    yield _counter("config_errors", "Mistakes in the ConfigMap, each time it was read.", problems.total)
    yield _gauge("config_problems", "Mistakes in the ConfigMap as it is now.", len(problems.current))


def _scaler(scaler: ExternalScaler) -> Iterable[Metric]:
    yield _gauge("scaler_streams", "Open streams of KEDA.", scaler.streams)
    yield _counter("scaler_pushes", "Beginnings of demand that were pushed to KEDA.", scaler.pushes)
    requests = CounterMetricFamily("hearth_gateway_scaler_requests", "Calls of KEDA.", labels=["method"])
    for method, count in sorted(scaler.requests.items()):
        requests.add_metric([method], count)
    yield requests


def _peers(peers: PeerClient) -> Iterable[Metric]:
    yield _gauge("peers", "Other replicas of this gateway.", peers.peers)
    yield _gauge("peers_connected", "Other replicas that report their demand.", len(peers.connected))
    yield _counter("peer_errors", "Failed attempts to call another replica.", peers.errors)


def _watches(watches: Sequence[WatchState]) -> Iterable[Metric]:
    connected = GaugeMetricFamily(
        "hearth_gateway_watch_connected", "1 if the watch of this resource is open.", labels=["resource"]
    )
    errors = CounterMetricFamily(
        "hearth_gateway_watch_errors", "Failed lists and watches.", labels=["resource", "reason"]
    )
    for watch in watches:
        connected.add_metric([watch.resource], int(watch.connected))
        for reason, count in sorted((watch.errors or {}).items()):
            errors.add_metric([watch.resource, reason], count)
    yield connected
    yield errors


def _gauge(name: str, text: str, value: int) -> Metric:
    metric = GaugeMetricFamily(f"hearth_gateway_{name}", text)
    metric.add_metric([], value)
    return metric


def _counter(name: str, text: str, value: int) -> Metric:
    metric = CounterMetricFamily(f"hearth_gateway_{name}", text)
    metric.add_metric([], value)
    return metric
