"""`hearth render`: the Kubernetes objects of a manifest, as YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearth.cli.inputs import Files, plan_files

if TYPE_CHECKING:
    from hearth.api import GatewayPod
    from hearth.planning import PlanOptions


_REGISTRY = re.compile(r"[a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*")


class ScalerChoice(StrEnum):
    push = "push"
    metrics_api = "metrics-api"


ImageRegistry = Annotated[
    str,
    typer.Option(
        "--image-registry",
        metavar="HOST[:PORT][/PATH]",
        help="Registry that Hearth's own images were pushed to.",
        show_default="none: images that were built here",
    ),
]
GatewayImage = Annotated[
    str | None,
    typer.Option(
        "--gateway-image", help="Image of the gateways.", show_default="that of this version, in the registry"
    ),
]
GatewayPodText = Annotated[
    str,
    typer.Option(
        "--gateway-pod",
        metavar="JSON",
        help="resources, nodeSelector, tolerations, priorityClassName, imagePullPolicy and imagePullSecrets of the gateways.",
    ),
]


def read_gateway_pod(text: str) -> GatewayPod:
    """What --gateway-pod says. Raises typer.BadParameter, with the place of what is wrong."""
    from hearth.api import HearthError, parse_gateway_pod

    try:
        return parse_gateway_pod(text)
    except HearthError as exc:
        raise typer.BadParameter(str(exc), param_hint="--gateway-pod") from exc


def plan_options(
    scaler: ScalerChoice, image_registry: str, gateway_image: str | None, gateway_replicas: int, gateway_pod: str
) -> PlanOptions:
    """Return the settings of a cluster that options name. Raises typer.BadParameter."""
    from hearth.planning import LOCAL_REGISTRY, PlanOptions, default_gateway_image

    if image_registry and not _REGISTRY.fullmatch(image_registry):
        raise typer.BadParameter(
            f"{image_registry!r} is not the name of a registry; write HOST[:PORT][/PATH], such as "
            "registry.example.com/hearth, without a scheme and without a slash at the end",
            param_hint="--image-registry",
        )
    registry = image_registry or LOCAL_REGISTRY
    return PlanOptions(
        scaler=scaler.value,
        image_registry=registry,
        gateway_image=gateway_image or default_gateway_image(registry),
        gateway_replicas=gateway_replicas,
        gateway_pod=read_gateway_pod(gateway_pod),
    )


def render(
    *,
    files: Files,
    namespace: Annotated[
        str | None,
        typer.Option("-n", "--namespace", help="Namespace of services that name none.", show_default="default"),
    ] = None,
    scaler: Annotated[
        ScalerChoice, typer.Option("--scaler", help="How KEDA learns of demand: told at once, or by asking every 5 s.")
    ] = ScalerChoice.push,
    image_registry: ImageRegistry = "",
    gateway_image: GatewayImage = None,
    gateway_replicas: Annotated[int, typer.Option("--gateway-replicas", min=1, help="Replicas of every gateway.")] = 1,
    gateway_pod: GatewayPodText = "{}",
) -> None:
    """Print the Kubernetes objects of every service, and of the gateway of every namespace, as YAML.

    They are in the order of applying; warnings go to stderr.
    """
    from hearth.planning import LOCAL_REGISTRY

    options = plan_options(scaler, image_registry, gateway_image, gateway_replicas, gateway_pod)
    planned = plan_files(files, "cluster", options=options, namespace=namespace)
    for name, warning in planned.warnings():
        typer.echo(f"warning: {name}: {warning}", err=True)
    images = {options.gateway_image, *(plan.serving["image"] for plan in planned.plans)}
    for image in sorted(image for image in images if image.startswith(f"{LOCAL_REGISTRY}/")):
        typer.echo(f"warning: no node can pull {image}; push it to a registry, and set --image-registry", err=True)
    objects = [
        item
        for shared in planned.namespaces
        for item in (*shared.objects, *(own for plan in planned.of(shared.namespace) for own in plan.objects))
    ]
    typer.echo(as_yaml(objects), nl=False)


def as_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """The objects as a stream of YAML documents; texts of several lines stand as they are."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return yaml.dump_all(objects, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
