"""The Deployment of the backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning.labels import object_metadata, selector_labels


def backend_deployment(service: LLMService, runtime: InferenceRuntime, pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the Deployment, without `replicas`: the autoscaler owns them.

    A rollout takes the old pod away first, because a cluster of few accelerators has none spare for a surge; requests
    are held by the gateway until the new one is ready.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": object_metadata(service, runtime, service.metadata.name),
        "spec": {
            "selector": {"matchLabels": selector_labels(service)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": pod,
        },
    }
