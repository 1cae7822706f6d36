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
"""Kind and name: what an object is known by in its namespace."""


def identity(item: Mapping[str, Any]) -> Identity:
    return item["kind"], item["metadata"]["name"]


def backend_name(service: LLMService) -> str:
    """The Service of the backends."""
    return f"{service.metadata.name}-backend"


def claim_name(service: LLMService) -> str:
    """The volume claim of the cache."""
    return f"{service.metadata.name}-cache"


def prewarm_name(service: LLMService) -> str:
    """The Job that downloads the weights."""
    return f"{service.metadata.name}-prewarm"


def gateway_name(service: LLMService) -> str:
    """The gateway that serves this service: the name of its Deployment and its ConfigMap."""
    return SHARED_GATEWAY if service.spec.endpoint.gateway == "shared" else dedicated_gateway_name(service)


def gateway_service_name(service: LLMService) -> str:
    """The Service whose endpoints are the replicas of this service's gateway, and at which KEDA asks for its demand."""
    return SHARED_GATEWAY if service.spec.endpoint.gateway == "shared" else service.metadata.name


def endpoint_url(service: LLMService) -> str:
    """Where clients send requests."""
    return f"http://{service.metadata.name}.{service.metadata.namespace}.svc/v1"


def dedicated_gateway_name(service: LLMService) -> str:
    """The gateway that serves this service alone."""
    return f"{service.metadata.name}-gateway"


def hpa_name(service: LLMService) -> str | None:
    """The HorizontalPodAutoscaler's name where KEDA's own (`keda-hpa-NAME`) would be longer than KEDA accepts."""
    name = service.metadata.name
    return None if len(_HPA_PREFIX) + len(name) <= _LONGEST_HPA_NAME else f"hpa-{name}"
