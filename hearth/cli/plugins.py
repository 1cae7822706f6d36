"""`hearth plugins`: which vendors are installed, and what is wrong with those that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearth.plugins import VendorStatus

_COLUMNS = ("VENDOR", "TITLE", "DISTRIBUTION", "VERSION", "STATUS", "CAPABILITIES", "RUNTIMES")


def plugins(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """List the vendor plugins: key, distribution, state, capabilities and the runtimes that they ship."""
    from hearth.plugins import VendorHost

    vendors = VendorHost.load().vendors
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(vendor) for vendor in vendors], indent=2))
        return
    if not vendors:
        typer.echo("no vendor plugin is installed; try: pip install hearth-fake", err=True)
        return
    rows = [_row(vendor) for vendor in vendors]
    if sys.stdout.isatty():
        _print_table(rows)
    else:
        widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
        for row in (_COLUMNS, *rows):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            typer.echo("   ".join(cells).rstrip())
    for vendor in vendors:
        if vendor.state == "error":
            typer.echo(f"{vendor.name}: {vendor.error}", err=True)


def _row(vendor: VendorStatus) -> Sequence[str]:
    return (
        vendor.name,
        vendor.title or "-",
        vendor.distribution or "-",
        vendor.version or "-",
        f"disabled ({vendor.error})" if vendor.state == "disabled" else vendor.state,
        ",".join(vendor.capabilities) or "-",
        ",".join(vendor.runtimes) or "-",
    )


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    colours = {"ready": "green", "error": "red"}
    table = Table(*_COLUMNS, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        colour = colours.get(row[4], "yellow")
        cells = [f"[{colour}]{cell}[/]" if number == 4 else cell for number, cell in enumerate(row)]
        table.add_row(*cells)
    Console().print(table)
