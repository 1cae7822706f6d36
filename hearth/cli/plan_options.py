"""Options of a plan for a cluster, which `hearth render` and `hearth operator` share."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearth.api import GatewayPod
    from hearth.planning import PlanOptions

_REGISTRY = re.compile(r"(localhost|[a-z0-9_-]+:[0-9]+|[a-z0-9_-]+([.][a-z0-9_-]+)+(:[0-9]+)?)(/[a-z0-9][a-z0-9._-]*)*")


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
ImageRegistryOption = Annotated[
    str,
    typer.Option(
        "--image-registry",
        metavar="HOST[:PORT][/PATH]",
        help="Registry that Hearth's own images were pushed to.",
        show_default="none: images that were built here",
    ),
]
GatewayImageOption = Annotated[
    str | None,
    typer.Option(
        "--gateway-image",
        metavar="IMAGE",
        help="Container image of the gateways.",
        show_default="that of this version, in the registry",
    ),
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


def plan_options(scaler: ScalerChoice, registry: str, image: str | None, replicas: int, pod: str) -> PlanOptions:
    """Return the options as planning takes them. Raises typer.BadParameter."""
    from hearth.planning import LOCAL_REGISTRY, PlanOptions, default_gateway_image

    if registry and not _REGISTRY.fullmatch(registry):
        raise typer.BadParameter(
            f"{registry!r} is not the name of a registry; write HOST[:PORT][/PATH], such as "
            "registry.example.com/hearth, without a scheme and without a slash at the end",
            param_hint="--image-registry",
        )
    registry = registry or LOCAL_REGISTRY
    return PlanOptions(
        scaler=scaler.value,
        image_registry=registry,
        gateway_image=image or default_gateway_image(registry),
        gateway_replicas=replicas,
        gateway_pod=_gateway_pod(pod),
    )


def _gateway_pod(text: str) -> GatewayPod:
    """Return the setting of --gateway-pod. Raises typer.BadParameter, with the field at fault."""
    from hearth.api import HearthError, parse_gateway_pod

    try:
        return parse_gateway_pod(text)
    except HearthError as exc:
        raise typer.BadParameter(str(exc), param_hint="--gateway-pod") from exc
