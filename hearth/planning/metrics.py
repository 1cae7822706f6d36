"""The engine's metrics: where they are, and their names."""

from __future__ import annotations

from dataclasses import replace

from hearth.api import InferenceRuntime
from hearth.plugins import MetricsEndpoint


def runtime_metrics(runtime: InferenceRuntime) -> MetricsEndpoint | None:
    """Return the endpoint that a runtime describes, if it does."""
    metrics = runtime.spec.metrics
    if metrics is None:
        return None
    wire = metrics.to_wire()
    names = {meaning: name for meaning, name in wire.items() if meaning not in ("path", "port")}
    return MetricsEndpoint(path=metrics.path, port=str(metrics.port), names=names)


def vendor_metrics(runtime: InferenceRuntime, metrics: MetricsEndpoint | None) -> MetricsEndpoint | None:
    """Return the endpoint that a vendor describes, at the runtime's port unless it names another."""
    if metrics is None or metrics.port:
        return metrics
    return replace(metrics, port=runtime.spec.container.port.name)
