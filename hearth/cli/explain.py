"""`hearth explain`: what a manifest will do, and why."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hearth.cli.inputs import Files, plan_files

if TYPE_CHECKING:
    from hearth.planning import Plan


class TargetChoice(StrEnum):
    local = "local"
    cluster = "cluster"


class Output(StrEnum):
    text = "text"
    json = "json"


def explain(
    *,
    files: Files,
    target: Annotated[
        TargetChoice, typer.Option("--target", help="Where it would run: on this machine or in a cluster.")
    ] = TargetChoice.local,
    output: Annotated[Output, typer.Option("-o", "--output", help="Form of the answer.")] = Output.text,
) -> None:
    """Say what will run, why, what happens to a cold request, and what looks wrong. Starts nothing."""
    plans = plan_files(files, target.value)
    if output is Output.json:
        import json

        from hearth.planning import as_document

        typer.echo(json.dumps([as_document(plan) for plan in plans], indent=2))
        return
    typer.echo("\n\n".join("\n".join(_lines(plan)) for plan in plans))


def _lines(plan: Plan) -> Iterator[str]:
    place = "on this machine" if plan.target == "local" else "in a cluster"
    yield f"{plan.service.metadata.namespace}/{plan.service.metadata.name} {place}"
    for reason in plan.reasons:
        subject, separator, rest = reason.partition(": ")
        if reason.startswith("not "):
            yield from _wrapped(f"    {reason}")
        elif separator:
            yield f"  {subject}"
            yield from _wrapped(f"    {rest}")
    command = [*plan.serving.get("command", ()), *plan.serving.get("args", ())]
    yield "  container"
    yield f"    {plan.serving['image']}"
    if command:
        yield from _wrapped(f"    {' '.join(command)}")
    for item in plan.objects:
        yield f"  object {item['apiVersion']} {item['kind']} {item['metadata']['name']}"
    for warning in plan.warnings:
        yield from _wrapped(f"  warning: {warning}")


def _wrapped(text: str) -> Iterator[str]:
    import shutil
    import textwrap

    width = min(120, max(60, shutil.get_terminal_size((100, 0)).columns))
    indent = " " * (len(text) - len(text.lstrip()))
    yield from textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
