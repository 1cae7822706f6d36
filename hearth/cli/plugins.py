"""`hearth plugins`: which vendors are installed, what is wrong with those that cannot be used, and whether they keep
the laws of the plugin contract."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearth.plugins import VendorStatus

_COLUMNS = ("VENDOR", "TITLE", "DISTRIBUTION", "VERSION", "STATUS", "CAPABILITIES", "RUNTIMES")


COMMANDS = ("check",)

BROKEN = 1
"""Exit code of a check that found a broken law."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

app = typer.Typer(help="List the vendor plugins, or check one.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def plugins(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the vendor plugins: key, distribution, state, capabilities and the runtimes that they ship."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@app.command()
def check(
    vendor: Annotated[str, typer.Argument(metavar="NAME", help="Key of an installed vendor.", show_default=False)],
    *,
    examples: Annotated[int, typer.Option("--examples", min=1, help="Inputs for each law.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Check that a plugin keeps the sixteen laws of the plugin contract. Exit code 1: it does not."""
    from importlib.util import find_spec

    from hearth.api import HearthError

    if find_spec("hypothesis") is None:
        raise HearthError("the conformance kit needs hypothesis", "pip install 'hearth-serving[testing]'")
    from hearth.testing import Search, Subject, check_vendor

    report = check_vendor(Subject.load(vendor), Search(examples))
    if as_json:
        import json

        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        typer.echo(report.to_text())
    if not report.passed:
        raise typer.Exit(BROKEN)


def _list(*, as_json: bool) -> None:
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
