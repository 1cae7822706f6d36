"""Application of the command line: its commands, and the one place where errors become exit codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hearth.cli import crds, explain, get, logs, operator, plugins, render, runtimes, scale, up

if TYPE_CHECKING:
    from hearth.api import HearthError

BAD_INPUT = 2
"""Exit code for input that the user has to correct: a manifest, an option, a plugin that is not installed."""

FAILURE = 1
"""Exit code for every other error."""

_COMMANDS: dict[str, Callable[..., None]] = {
    "up": up.up,
    "get": get.get,
    "logs": logs.logs,
    "wake": scale.wake,
    "scale": scale.scale,
    "explain": explain.explain,
    "render": render.render,
    "crds": crds.crds,
    "operator": operator.operator,
}

# typer converts an absent --help with pydantic, which costs 0.1 s; a default of the right type needs no conversion.
_HELP_DEFAULT = {"help": False}

app = typer.Typer(
    name="hearth",
    help="Serve open LLMs that cost no accelerator while nobody uses them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "default_map": {
            **_HELP_DEFAULT,
            **dict.fromkeys(_COMMANDS, _HELP_DEFAULT),
            "plugins": {**_HELP_DEFAULT, **dict.fromkeys(plugins.COMMANDS, _HELP_DEFAULT)},
            "runtimes": {**_HELP_DEFAULT, **dict.fromkeys(runtimes.COMMANDS, _HELP_DEFAULT)},
        },
    },
)
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(plugins.app, name="plugins")
app.add_typer(runtimes.app, name="runtimes")


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hearth {version('hearth-serving')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command line. A HearthError is printed as `error:` lines; the exit code is 2 for bad input, else 1."""
    try:
        app()
    except Exception as exc:
        # Importing the error class costs more than `hearth --help` may take, so it happens only when there is one.
        from hearth.api import HearthError

        if isinstance(exc, HearthError):
            fail(exc)
        raise


def fail(error: HearthError) -> NoReturn:
    """Print an error, one line for each fault, and exit."""
    from hearth.api import ManifestErrors
    from hearth.planning import PlanningError

    faults = error.errors if isinstance(error, ManifestErrors) else (error,)
    for fault in faults:
        for line in str(fault).splitlines():  # an error may quote several lines of a tool
            typer.echo(f"error: {line}", err=True)
    raise SystemExit(BAD_INPUT if isinstance(error, ManifestErrors | PlanningError) else FAILURE)
