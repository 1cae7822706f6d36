"""`hearth render`: the Kubernetes objects of a manifest."""

from __future__ import annotations

from typing import Annotated

import typer

from hearth.cli.inputs import Files, plan_files
from hearth.cli.output import ManifestOutput, ManifestOutputOption, write_manifests
from hearth.cli.plan_options import (
    GatewayImageOption,
    GatewayPodOption,
    GatewayReplicasOption,
    ImageRegistryOption,
    ScalerChoice,
    ScalerOption,
    plan_options,
)


def render(
    *,
    files: Files,
    namespace: Annotated[
        str | None,
        typer.Option("-n", "--namespace", help="Namespace of services that name none.", show_default="default"),
    ] = None,
    scaler: ScalerOption = ScalerChoice.push,
    image_registry: ImageRegistryOption = "",
    gateway_image: GatewayImageOption = None,
    gateway_replicas: GatewayReplicasOption = 1,
    gateway_pod: GatewayPodOption = "{}",
    output: ManifestOutputOption = ManifestOutput.yaml,
) -> None:
    """Print the Kubernetes objects of a manifest.

    These are the objects of every service and of each namespace's gateway, in the order to apply them. Warnings go to
    stderr.
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
    write_manifests(objects, output)
