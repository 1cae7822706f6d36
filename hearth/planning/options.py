"""The options of planning that hold for a whole cluster: the operator's settings, or the options of `hearth render`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hearth.api import GatewayPod

GATEWAY_IMAGE = "ghcr.io/hearth-project/hearth-gateway:0.1.0"

Scaler = Literal["push", "metrics-api"]
"""How KEDA learns of demand: the gateway pushes it (external-push), or KEDA polls it over HTTP (metrics-api)."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Settings of the cluster. `gateway_replicas` is at least 1; `scaler` holds where a service names none."""

    scaler: Scaler = "push"
    gateway_image: str = GATEWAY_IMAGE
    gateway_replicas: int = 1
    gateway_pod: GatewayPod = field(default_factory=GatewayPod)


DEFAULT_OPTIONS = PlanOptions()
