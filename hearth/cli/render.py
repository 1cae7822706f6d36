"""`hearth render`: the Kubernetes objects of a manifest, as YAML."""

from __future__ import annotations

import typer

from hearth.cli.inputs import Files, plan_files


def render(*, files: Files) -> None:
    """Print the Kubernetes objects of every service as YAML, in the order of applying; warnings go to stderr."""
    import yaml

    plans, _ = plan_files(files, "cluster")
    for plan in plans:
        for warning in plan.warnings:
            typer.echo(f"warning: {plan.service.metadata.namespace}/{plan.service.metadata.name}: {warning}", err=True)
    objects = [item for plan in plans for item in plan.objects]
    typer.echo(yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, width=120), nl=False)
