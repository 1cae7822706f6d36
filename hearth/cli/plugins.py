"""`hearth plugins`: the installed vendor plugins, what is wrong with the unusable ones, and the check of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from hearth.cli.output import Output, OutputOption, write_document
from hearth.cli.table import write_table

if TYPE_CHECKING:
    from hearth.plugins import VendorStatus

COMMANDS = ("check",)

BROKEN = 1
"""Exit code of a check that found a broken law."""

_COLUMNS = ("VENDOR", "TITLE", "DISTRIBUTION", "VERSION", "STATUS", "CAPABILITIES", "RUNTIMES")
_COLOURS = {"STATUS": {"ready": "green", "error": "red"}}


class _QuickGroup(TyperGroup):
    """Group that takes its defaults as they are: typer's conversion of an absent `-o` imports pydantic, for 0.1 s."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, if there are any."""
        if args:
            return super().parse_args(ctx, args)
        ctx.params.update({param.name: param.get_default(ctx) for param in self.params})
        return args


app = typer.Typer(cls=_QuickGroup, help="List vendor plugins, or check one.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def plugins(context: typer.Context, *, output: OutputOption = Output.table) -> None:
    """List the vendor plugins: key, distribution, status, capabilities and packaged runtimes."""
    if context.invoked_subcommand is None:
        _list(output)


@app.command()
def check(
    vendor: Annotated[
        str, typer.Argument(metavar="NAME", help="Key of an installed vendor, such as nvidia.", show_default=False)
    ],
    *,
    examples: Annotated[int, typer.Option("--examples", min=1, help="Number of generated inputs for each law.")] = 20,
    output: OutputOption = Output.table,
) -> None:
    """Check a plugin against the plugin contract. It has sixteen laws; exit code 1 means that one is broken."""
    from importlib.util import find_spec

    from hearth.api import HearthError

    if find_spec("hypothesis") is None:
        raise HearthError("the conformance kit needs hypothesis", "pip install 'hearth-serving[testing]'")
    from hearth.testing import Search, Subject, check_vendor

    report = check_vendor(Subject.load(vendor), Search(examples))
    if output is Output.table:
        typer.echo(report.to_text())
    else:
        write_document(report.to_json(), output)
    if not report.passed:
        raise typer.Exit(BROKEN)


def _list(output: Output) -> None:
    from hearth.plugins import VendorHost

    vendors = VendorHost.load().vendors
    if output is not Output.table:
        from dataclasses import asdict

        write_document([asdict(vendor) for vendor in vendors], output)
        return
    if not vendors:
        typer.echo("no vendor plugin is installed; try: pip install hearth-fake", err=True)
        return
    write_table(_COLUMNS, [_row(vendor) for vendor in vendors], colours=_COLOURS)
    report_unusable(vendors)


def report_unusable(vendors: Iterable[VendorStatus]) -> None:
    """Print on stderr why plugins cannot be used."""
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
