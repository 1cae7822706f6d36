"""What /metrics says of a gateway in a cluster, beside what every gateway says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from .cluster import Cluster


def collect(cluster: Cluster) -> Iterable[Metric]:
    """The families of this moment."""
    yield from _scaler(cluster)
    yield from _peers(cluster)
    yield from _sources(cluster)


def _scaler(cluster: Cluster) -> Iterable[Metric]:
    scaler = cluster.scaler
    yield _gauge("scaler_streams", "Open streams of KEDA.", scaler.streams)
    yield _counter("scaler_pushes", "Beginnings of demand that were pushed to KEDA.", scaler.pushes)
    requests = CounterMetricFamily("hearth_gateway_scaler_requests", "Calls of KEDA.", labels=["method"])
    for method, count in sorted(scaler.requests.items()):
        requests.add_metric([method], count)
    yield requests


def _peers(cluster: Cluster) -> Iterable[Metric]:
    listener = cluster.listener
    yield _gauge("peers", "Other replicas of this gateway.", listener.peers)
    yield _gauge("peers_connected", "Other replicas that tell what they hold.", len(listener.connected))
    yield _counter("peer_errors", "Failed attempts to ask another replica.", listener.errors)


def _sources(cluster: Cluster) -> Iterable[Metric]:
    connected = GaugeMetricFamily(
        "hearth_gateway_watch_connected", "Whether the API server tells changes of this resource.", labels=["resource"]
    )
    errors = CounterMetricFamily(
        "hearth_gateway_watch_errors", "Failed lists and watches.", labels=["resource", "reason"]
    )
    for state in (cluster.config_watch.state, cluster.slice_watch.state):
        connected.add_metric([state.resource], int(state.connected))
        for reason, count in sorted((state.errors or {}).items()):
            errors.add_metric([state.resource, reason], count)
    yield connected
    yield errors
    yield _counter("config_errors", "Mistakes in the ConfigMap, each time it was read.", cluster.config_errors)
    yield _gauge("config_problems", "Mistakes in the ConfigMap as it is now.", len(cluster.problems))


def _gauge(name: str, text: str, value: int) -> Metric:
    metric = GaugeMetricFamily(f"hearth_gateway_{name}", text)
    metric.add_metric([], value)
    return metric


def _counter(name: str, text: str, value: int) -> Metric:
    metric = CounterMetricFamily(f"hearth_gateway_{name}", text)
    metric.add_metric([], value)
    return metric
