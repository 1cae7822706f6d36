"""Metrics of the operator, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hearth.api.phase import PHASES
from hearth.operator.status.conditions import is_trouble

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
RESULTS = ("success", "error")

Condition = tuple[str, str]
"""Type and reason."""


class Metrics:
    """Counters that the parts of the operator increment, and gauges that are read at every scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._reconciles = Counter(
            "hearth_operator_reconciles", "Reconciles by result.", ["result"], registry=self.registry
        )
        for result in RESULTS:
            self._reconciles.labels(result)
        self._seconds = Histogram(
            "hearth_operator_reconcile_seconds", "Duration of reconciles.", buckets=BUCKETS, registry=self.registry
        )
        self._applied = Counter(
            "hearth_operator_apply", "Writes to the API server.", ["kind", "verb"], registry=self.registry
        )
        self._events = Counter("hearth_operator_watch_events", "Watch events received.", registry=self.registry)
        self.leader = 0
        self.keda: Callable[[], bool] = lambda: False
        self.queue_depth: Callable[[], int] = lambda: 0
        self.failing: Callable[[], int] = lambda: 0
        self.services: dict[tuple[str, str], tuple[str, tuple[Condition, ...]]] = {}
        """(namespace, name) -> phase, and the conditions that are trouble."""
        self.registry.register(_Gauges(self))

    def reconciled(self, result: str, seconds: float) -> None:
        """Count a reconcile."""
        self._reconciles.labels(result).inc()
        self._seconds.observe(seconds)

    def applied(self, kind: str, verb: str) -> None:
        """Count a write to the API server."""
        self._applied.labels(kind, verb).inc()

    def event(self) -> None:
        """Count a watch event."""
        self._events.inc()

    def status(self, namespace: str, name: str, status: Mapping[str, object]) -> None:
        """Record the status of a service."""
        conditions = status.get("conditions")
        bad = [
            (str(condition.get("type")), str(condition.get("reason")))
            for condition in (conditions if isinstance(conditions, list) else ())
            if is_trouble(condition)
        ]
        self.services[namespace, name] = str(status.get("phase") or "Pending"), tuple(bad)

    def forget(self, namespace: str, name: str) -> None:
        """Drop a service that is gone."""
        self.services.pop((namespace, name), None)

    def render(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        metrics = self._metrics
        info = GaugeMetricFamily("hearth_operator_build_info", "The version of Hearth.", labels=["version"])
        info.add_metric([version("hearth-serving")], 1)
        yield info
        for name, text, value in (
            ("leader", "1 if this replica is the leader.", metrics.leader),
            ("keda_available", "1 if the API server serves KEDA's ScaledObjects.", int(metrics.keda())),
            ("queue_depth", "Keys waiting to be reconciled.", metrics.queue_depth()),
            ("failing_keys", "Keys whose last reconcile failed and which will be retried.", metrics.failing()),
        ):
            yield GaugeMetricFamily(f"hearth_operator_{name}", text, value=value)
        phases: dict[str, int] = dict.fromkeys(PHASES, 0)
        conditions = GaugeMetricFamily(
            "hearth_operator_condition",
            "Conditions of services that are False.",
            labels=["namespace", "service", "type", "reason"],
        )
        for (namespace, name), (phase, bad) in metrics.services.items():
            phases[phase] = phases.get(phase, 0) + 1
            for kind, reason in bad:
                conditions.add_metric([namespace, name, kind, reason], 1)
        services = GaugeMetricFamily("hearth_operator_services", "LLMServices by phase.", labels=["phase"])
        for phase, count in phases.items():
            services.add_metric([phase], count)
        yield services
        yield conditions
