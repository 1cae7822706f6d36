"""`hearth get`: the services of the running `hearth up`, as kubectl would show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from hearth.cli.state import StateOption, state_dir


class Output(StrEnum):
    table = "table"
    wide = "wide"
    json = "json"


def get(
    *,
    name: Annotated[str | None, typer.Argument(help="Only this service.", show_default=False)] = None,
    output: Annotated[
        Output, typer.Option("-o", "--output", help="wide adds demand and the reason of the phase.")
    ] = Output.table,
    state: StateOption = None,
) -> None:
    """Show the services that `hearth up` runs: NAME PHASE RUNTIME REPLICAS (those that are ready) AGE."""
    from hearth.api.errors import HearthError
    from hearth.local.remote import call

    views: list[dict[str, Any]] = call(state_dir(state), {"do": "get"})
    if name is not None:
        known = ", ".join(view["name"] for view in views) or "none"
        views = [view for view in views if view["name"] == name]
        if not views:
            raise HearthError(f"there is no service {name!r}", f"known services: {known}")
    if output is Output.json:
        import json

        typer.echo(json.dumps(views, indent=2))
        return
    rows = [_row(view, wide=output is Output.wide) for view in views]
    for line in _columns([_header(wide=output is Output.wide), *rows]):
        typer.echo(line)


def _header(*, wide: bool) -> Sequence[str]:
    header = ("NAME", "PHASE", "RUNTIME", "REPLICAS", "AGE")
    return (*header, "WANTED", "HELD", "IN-FLIGHT", "REASON") if wide else header


def _row(view: Mapping[str, Any], *, wide: bool) -> Sequence[str]:
    row = (view["name"], view["phase"], view["runtime"] or "-", str(view["ready"]), age(view["age"]))
    if not wide:
        return row
    return (*row, str(view["wanted"]), str(view["held"]), str(view["in_flight"]), view["reason"] or "-")


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def age(seconds: float) -> str:
    """Seconds as kubectl prints an age: 45s, 5m12s, 3h20m, 4d."""
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
