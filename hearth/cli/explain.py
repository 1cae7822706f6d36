"""`hearth explain`: what a manifest will do, and why."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearth.cli.inputs import Files, plan_files
from hearth.cli.output import Output, OutputOption, write_document

if TYPE_CHECKING:
    from hearth.planning import NamespacePlan, Plan
    from hearth.plugins import VendorHost

_EXAMPLE_PORT = 8000


class TargetChoice(StrEnum):
    """Targets of a plan."""

    local = "local"
    cluster = "cluster"


def explain(
    *,
    files: Files,
    target: Annotated[
        TargetChoice, typer.Option("--target", help="Where it would run: on this machine (local) or in a cluster.")
    ] = TargetChoice.local,
    output: OutputOption = Output.table,
) -> None:
    """Explain what a manifest will do, and why. Includes cold requests, scaling and warnings; starts nothing."""
    planned = plan_files(files, target.value)
    plans, host = planned.plans, planned.host
    if output is not Output.table:
        from hearth.planning import as_document

        documents = [
            as_document(plan) | ({"process": _process(plan, host)} if plan.target == "local" else {}) for plan in plans
        ]
        write_document(documents, output)
        return
    parts = [_lines(plan, host) for plan in plans] + [
        _shared(namespace) for namespace in planned.namespaces if namespace.objects
    ]
    typer.echo("\n\n".join("\n".join(lines) for lines in parts))


def _process(plan: Plan, host: VendorHost) -> dict[str, Any]:
    """Return the command and the environment of a replica with the first devices and an example port."""
    from hearth.planning import local_launch

    devices = [str(number) for number in range(plan.devices)]
    launch = local_launch(plan, host=host, devices=devices, port=_EXAMPLE_PORT)
    return {"argv": list(launch.argv), "env": dict(launch.env), "cwd": launch.cwd}


def _lines(plan: Plan, host: VendorHost) -> Iterator[str]:
    place = "on this machine" if plan.target == "local" else "in a cluster"
    yield f"{plan.service.metadata.namespace}/{plan.service.metadata.name} {place}"
    for reason in plan.reasons:
        if reason.rejected:
            yield from _wrapped(f"    {reason}")
        else:
            yield f"  {reason.subject}"
            yield from _wrapped(f"    {reason.text}")
    if plan.target == "local":
        import shlex

        process = _process(plan, host)
        yield "  process (devices and port are assigned when it starts)"
        env = [f"{name}={shlex.quote(value)}" for name, value in process["env"].items()]
        yield from _wrapped(f"    {' '.join([*env, shlex.join(process['argv'])])}")
    else:
        yield "  container"
        command = [*plan.serving.get("command", ()), *plan.serving.get("args", ())]
        yield from _wrapped(f"    {' '.join([plan.serving['image'], *command])}")
    for item in plan.objects:
        yield f"  object {item['apiVersion']} {item['kind']} {item['metadata']['name']}"
    for warning in plan.warnings:
        yield from _wrapped(f"  warning: {warning}")


def _shared(namespace: NamespacePlan) -> Iterator[str]:
    yield f"{namespace.namespace}: shared by its services"
    for item in namespace.objects:
        yield f"  object {item['apiVersion']} {item['kind']} {item['metadata']['name']}"
    for name, warnings in namespace.warnings.items():
        for warning in warnings:
            yield from _wrapped(f"  warning: {name}: {warning}")


def _wrapped(text: str) -> Iterator[str]:
    import shutil
    import textwrap

    width = min(120, max(60, shutil.get_terminal_size((100, 0)).columns))
    indent = " " * (len(text) - len(text.lstrip()))
    yield from textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
