"""The KEDA ScaledObject of a service: KEDA decides between none and one, the HPA that it makes between one and many.

There is no `fallback`. Without the gateway the demand is unknown; KEDA then leaves the replicas as they are, while a
fallback would count as activity and start a model without a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning.gateway.gateway import SCALER_PORT_NUMBER
from hearth.planning.labels import object_metadata
from hearth.planning.names import gateway_service_name, hpa_name
from hearth.planning.options import Scaler
from hearth.planning.scaling import Scaling

POLLING_INTERVAL = 5
"""Seconds between two polls of KEDA: the longest a wake takes when a push was lost, or without pushes."""


def scaled_object(
    service: LLMService, runtime: InferenceRuntime, scaling: Scaling, scaler: Scaler
) -> Mapping[str, Any]:
    """Return the ScaledObject. The HPA's scale-down window and KEDA's cooldown are both scaleDownStabilization."""
    autoscaler: dict[str, Any] = {"behavior": {"scaleDown": {"stabilizationWindowSeconds": int(scaling.stabilization)}}}
    name = hpa_name(service)
    if name is not None:
        autoscaler["name"] = name
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": service.metadata.name},
        "minReplicaCount": scaling.min,
        "maxReplicaCount": scaling.max,
    }
    if scaling.min == 0:  # KEDA's webhook warns of these where nothing ever goes to zero
        spec |= {
            "pollingInterval": POLLING_INTERVAL,
            "cooldownPeriod": int(scaling.cooldown),
            # Without it a new ScaledObject over a running Deployment removes the replicas at its first poll.
            "initialCooldownPeriod": int(scaling.cooldown),
        }
    spec["advanced"] = {"horizontalPodAutoscalerConfig": autoscaler}
    spec["triggers"] = [push_trigger(service, scaling) if scaler == "push" else poll_trigger(service, scaling)]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": object_metadata(service, runtime, service.metadata.name),
        "spec": spec,
    }


def push_trigger(service: LLMService, scaling: Scaling) -> Mapping[str, Any]:
    """Return the trigger of push mode. The gateway is told `targetValue` and answers GetMetricSpec with it."""
    return {
        "type": "external-push",
        "metadata": {"scalerAddress": scaler_address(service), "targetValue": str(scaling.target)},
    }


def poll_trigger(service: LLMService, scaling: Scaling) -> Mapping[str, Any]:
    """Return the trigger of metrics-api mode.

    KEDA's aggregation over endpoints stays off: it loses the path's host, counts a slow replica as 0, and every replica
    of the gateway answers with the total of all anyway.
    """
    return {
        "type": "metrics-api",
        "metadata": {
            "url": queue_url(service),
            "valueLocation": "pending",
            "targetValue": str(scaling.target),
            "activationTargetValue": "0",
        },
    }


def scaler_address(service: LLMService) -> str:
    """Where KEDA asks over gRPC: the service's gateway, for all of its services at one address (one connection)."""
    return f"{gateway_service_name(service)}.{service.metadata.namespace}.svc:{SCALER_PORT_NUMBER}"


def with_gateway_ip(item: Mapping[str, Any], address: str) -> Mapping[str, Any]:
    """Return a ScaledObject whose push trigger has the gateway's Service by its cluster IP instead of by its name.

    KEDA keeps one gRPC channel per address for as long as it runs, and gRPC asks again for a name that was unknown only
    after up to two minutes: a namespace whose last service was deleted could not wake its next one for that long. A new
    Service has a new IP, and that a new channel. An item without a push trigger is returned as it is.
    """
    (trigger,) = item["spec"]["triggers"]
    if trigger["type"] != "external-push":
        return item
    host = f"[{address}]" if ":" in address else address
    metadata = {**trigger["metadata"], "scalerAddress": f"{host}:{SCALER_PORT_NUMBER}"}
    return {**item, "spec": {**item["spec"], "triggers": [{**trigger, "metadata": metadata}]}}


def queue_url(service: LLMService) -> str:
    """Return the URL that KEDA polls in metrics-api mode.

    The service is in its path: a gateway that does not know it yet answers 404, and not with the demand of others.
    """
    name = service.metadata.name
    return f"http://{name}.{service.metadata.namespace}.svc/{name}/hearth/queue"
