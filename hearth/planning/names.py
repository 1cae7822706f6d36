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


def scaler_name(service: LLMService) -> str:
    """The Service at which KEDA asks the gateway for demand."""
    return f"{service.metadata.name}-scaler"


def dedicated_gateway_name(service: LLMService) -> str:
    """The gateway that serves this service alone."""
    return f"{service.metadata.name}-gateway"


def hpa_name(service: LLMService) -> str | None:
    """The HorizontalPodAutoscaler's name where KEDA's own (`keda-hpa-NAME`) would be longer than KEDA accepts."""
    name = service.metadata.name
    return None if len(_HPA_PREFIX) + len(name) <= _LONGEST_HPA_NAME else f"hpa-{name}"
