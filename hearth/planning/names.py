"""The names of the objects of a service. A service's name has at most 55 characters, so the longest of them has 63."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.api import LLMService

SHARED_GATEWAY = "hearth-gateway"
"""The gateway of a namespace: its Deployment, Service, ConfigMap, ServiceAccount, Role, RoleBinding, budget."""

_HPA_PREFIX = "keda-hpa-"
_LONGEST_HPA_NAME = 63

Identity = tuple[str, str]
"""Kind and name: the identity of an object within its namespace."""


def identity(item: Mapping[str, Any]) -> Identity:
    """Return the kind and the name of an object."""
    return item["kind"], item["metadata"]["name"]


def backend_name(service: LLMService) -> str:
    """Return the Service of the backends."""
    return f"{service.metadata.name}-backend"


def claim_name(service: LLMService) -> str:
    """Return the volume claim of the cache."""
    return f"{service.metadata.name}-cache"


def prewarm_name(service: LLMService) -> str:
    """Return the Job that downloads the weights."""
    return f"{service.metadata.name}-prewarm"


def gateway_name(service: LLMService) -> str:
    """Return the gateway that serves this service: the name of its Deployment and its ConfigMap."""
    return SHARED_GATEWAY if service.spec.endpoint.gateway == "shared" else dedicated_gateway_name(service)


def gateway_service_name(service: LLMService) -> str:
    """Return the Service whose endpoints are the replicas of this service's gateway, and at which KEDA asks for its demand."""
    return SHARED_GATEWAY if service.spec.endpoint.gateway == "shared" else service.metadata.name


def endpoint_url(service: LLMService) -> str:
    """Return the URL that clients send requests to."""
    return f"http://{service.metadata.name}.{service.metadata.namespace}.svc/v1"


def dedicated_gateway_name(service: LLMService) -> str:
    """Return the gateway that serves this service alone."""
    return f"{service.metadata.name}-gateway"


def hpa_name(service: LLMService) -> str | None:
    """Return the HorizontalPodAutoscaler's name where KEDA's own (`keda-hpa-NAME`) would be longer than KEDA accepts."""
    name = service.metadata.name
    return None if len(_HPA_PREFIX) + len(name) <= _LONGEST_HPA_NAME else f"hpa-{name}"
