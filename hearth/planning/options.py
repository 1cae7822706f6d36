"""The options of planning that hold for a whole cluster: the operator's settings, or the options of `hearth render`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hearth.api import GatewayPod

LOCAL_REGISTRY = "localhost"
"""The registry in the names of images that were built here and pushed nowhere; no node pulls from it."""


def default_gateway_image(registry: str) -> str:
    """Return the gateway's image of this version in a registry, such as `registry.example.com/hearth`."""
    return f"{registry}/hearth-gateway:0.1.0"


Scaler = Literal["push", "metrics-api"]
"""The way in which KEDA learns of demand: the gateway pushes it (external-push), or KEDA polls over HTTP (metrics-api)."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Settings of the cluster. `gateway_replicas` is at least 1; `scaler` holds where a service names none.

    `image_registry` becomes `{{ .Image.Registry }}` in runtimes: where Hearth's own images are.
    """

    scaler: Scaler = "push"
    image_registry: str = LOCAL_REGISTRY
    gateway_image: str = default_gateway_image(LOCAL_REGISTRY)
    gateway_replicas: int = 1
    gateway_pod: GatewayPod = field(default_factory=GatewayPod)


DEFAULT_OPTIONS = PlanOptions()
