"""Options of a plan for a cluster, which `hearth render` and `hearth operator` share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearth.planning import PlanOptions


class ScalerChoice(StrEnum):
    """Ways in which KEDA learns of demand."""

    push = "push"
    metrics_api = "metrics-api"


ScalerOption = Annotated[
    ScalerChoice,
    typer.Option(
        "--scaler",
        help="KEDA trigger: push (the gateway reports demand at once) or metrics-api (KEDA polls every 5 s).",
    ),
]
GatewayImageOption = Annotated[
    str | None,
    typer.Option("--gateway-image", help="Container image of the gateways.", show_default="that of this version"),
]
GatewayReplicasOption = Annotated[int, typer.Option("--gateway-replicas", min=1, help="Replicas of every gateway.")]
GatewayPodOption = Annotated[
    str,
    typer.Option(
        "--gateway-pod",
        metavar="JSON",
        help="Settings of the gateways' pods: resources, nodeSelector, tolerations, priorityClassName, imagePullPolicy, "
        "imagePullSecrets.",
    ),
]


def plan_options(scaler: ScalerChoice, image: str | None, replicas: int, pod: str) -> PlanOptions:
    """Return the options as planning takes them. Raises typer.BadParameter, with the field of --gateway-pod at fault."""
    from hearth.api import HearthError, parse_gateway_pod
    from hearth.planning import DEFAULT_OPTIONS, PlanOptions

    try:
        gateway_pod = parse_gateway_pod(pod)
    except HearthError as exc:
        raise typer.BadParameter(str(exc), param_hint="--gateway-pod") from exc
    return PlanOptions(
        scaler=scaler.value,
        gateway_image=image or DEFAULT_OPTIONS.gateway_image,
        gateway_replicas=replicas,
        gateway_pod=gateway_pod,
    )
