"""Expositions of gateway, engine and operator: their /metrics, from the programs themselves, without a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from hearth.operator import metrics as operator
from hearth_gateway import ServiceConfig
from hearth_gateway.cluster.configmap import Problems
from hearth_gateway.cluster.metrics import collect
from hearth_gateway.cluster.reflector import WatchState
from hearth_gateway.metrics import render
from hearth_gateway.policy.service import Service
from vllm_stub.metrics import Metrics

TARGET_LABELS = frozenset({"namespace", "pod", "container", "instance", "job", "endpoint"})
"""What the Prometheus Operator adds to every series of a pod."""

ENGINE_LABELS = frozenset({"service"})
"""What the chart's PodMonitor adds to the series of engines."""


class _InCluster(CollectorRegistry):
    """What a gateway adds in a cluster, where nothing is connected to anything."""

    def __init__(self) -> None:
        super().__init__()
        self._scaler: Any = SimpleNamespace(streams=0, pushes=0, requests={"IsActive": 1})
        self._peers: Any = SimpleNamespace(peers=0, connected=(), errors=0)
        self._watch = WatchState("configmaps", errors={"refused": 1})

    def collect(self) -> Iterable[Metric]:
        return collect(self._scaler, self._peers, [self._watch], Problems())


def gateway_text() -> str:
    loop = asyncio.new_event_loop()
    try:
        service = Service(ServiceConfig(name="m", namespace="default"), loop, on_edge=print, on_cold=print)
        service.counters.activations["started"] = 1
        return (
            render([service], unrouted={"unknown_path": 1}, total=lambda name: 0).decode()
            + generate_latest(_InCluster()).decode()
        )
    finally:
        loop.close()


def operator_text() -> str:
    metrics = operator.Metrics()
    condition = {"type": "Ready", "status": "False", "reason": "Loading"}
    metrics.status("default", "m", {"phase": "Loading", "conditions": [condition]})
    metrics.applied("Deployment", "apply")
    return metrics.render().decode()


def engine_text() -> str:
    return generate_latest(Metrics("m", 4096).registry).decode()


def labels_by_series(*texts: str) -> Mapping[str, set[str]]:
    """Return the labels that a series has, by its name as PromQL knows it."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for name, labels in _samples(text_string_to_metric_families(text)):
            found.setdefault(name, set()).update(labels)
    return found


def _samples(families: Iterable[Metric]) -> Iterable[tuple[str, set[str]]]:
    for family in families:
        for sample in family.samples:
            yield sample.name, set(sample.labels)
