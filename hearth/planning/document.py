"""The document of a plan: what `hearth explain -o json` prints."""

from __future__ import annotations

from typing import Any

from hearth.planning.plan import Plan


def as_document(plan: Plan) -> dict[str, Any]:
    """Return the plan as `hearth explain -o json` prints it."""
    return {
        "service": plan.service.metadata.name,
        "namespace": plan.service.metadata.namespace,
        "target": plan.target,
        "runtime": plan.runtime.metadata.name,
        "vendor": {"name": plan.vendor.name, "title": plan.vendor.title},
        "model": {"uri": plan.model.uri, "scheme": plan.model.scheme, "path": plan.model.path},
        "devices": plan.devices,
        "container": dict(plan.serving),
        "metrics": {"path": plan.metrics.path, "port": plan.metrics.port, "names": dict(plan.metrics.names)}
        if plan.metrics
        else None,
        "gateway": dict(plan.gateway),
        "scaling": {
            "min": plan.scaling.min,
            "max": plan.scaling.max,
            "metric": plan.scaling.metric,
            "target": plan.scaling.target,
            "activationTimeoutSeconds": plan.scaling.activation_timeout,
            "cooldownSeconds": plan.scaling.cooldown,
            "stabilizationSeconds": plan.scaling.stabilization,
            "drainTimeoutSeconds": plan.scaling.drain_timeout,
        },
        "reasons": [str(reason) for reason in plan.reasons],
        "warnings": list(plan.warnings),
        "objects": [{"kind": item["kind"], "name": item["metadata"]["name"]} for item in plan.objects],
    }
