"""`hearth get`: the services of the running `hearth up`, as kubectl would show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from hearth.cli.output import Output, write_document
from hearth.cli.state import StateOption, state_dir
from hearth.cli.table import write_table

_COLUMNS = ("NAME", "PHASE", "RUNTIME", "REPLICAS", "AGE")
_WIDE_COLUMNS = (*_COLUMNS, "WANTED", "HELD", "IN-FLIGHT", "REASON")


class GetOutput(StrEnum):
    """`Output`, and kubectl's `wide`."""

    table = "table"
    wide = "wide"
    json = "json"
    yaml = "yaml"


def get(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this service only.", show_default=False)
    ] = None,
    output: Annotated[
        GetOutput,
        typer.Option(
            "-o", "--output", help="Output format; wide adds demand and reason, json and yaml are for programs."
        ),
    ] = GetOutput.table,
    state: StateOption = None,
) -> None:
    """List the services of the running `hearth up`. REPLICAS counts those that are ready."""
    from hearth.api.errors import HearthError
    from hearth.local.remote import call

    views: list[dict[str, Any]] = call(state_dir(state), {"do": "get"})
    if name is not None:
        known = ", ".join(view["name"] for view in views) or "none"
        views = [view for view in views if view["name"] == name]
        if not views:
            raise HearthError(f"there is no service {name!r}", f"known services: {known}")
    if output in (GetOutput.json, GetOutput.yaml):
        write_document(views, Output(output.value))
        return
    wide = output is GetOutput.wide
    write_table(_WIDE_COLUMNS if wide else _COLUMNS, [_row(view, wide=wide) for view in views])


def _row(view: Mapping[str, Any], *, wide: bool) -> Sequence[str]:
    row = (view["name"], view["phase"], view["runtime"] or "-", str(view["ready"]), age(view["age"]))
    if not wide:
        return row
    return (*row, str(view["wanted"]), str(view["held"]), str(view["in_flight"]), view["reason"] or "-")


def age(seconds: float) -> str:
    """Return an age as kubectl prints it: 45s, 5m12s, 3h20m, 4d."""
    whole = int(seconds)
    if whole < 120:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"
