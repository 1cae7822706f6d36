"""`hearth up`: serve the manifests on this machine until Ctrl-C."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hearth.cli.inputs import Files
from hearth.cli.state import StateOption, state_dir

DEFAULT_LISTEN = "127.0.0.1:8080"


def up(
    *,
    files: Files,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where clients connect; port 0 takes a free one.")
    ] = DEFAULT_LISTEN,
    state: StateOption = None,
) -> None:
    """Serve the LLMServices of the files at one OpenAI-compatible endpoint; models sleep until a request comes.

    Ctrl-C lets requests in flight end and leaves no process behind; a second one ends everything at once. Changed
    files are read again.
    """
    import asyncio
    import os

    import uvloop

    from hearth.cli.screen import LiveScreen, PlainScreen
    from hearth.local.app import Options
    from hearth.local.app import up as run
    from hearth.plugins import VendorHost

    host, port = parse_listen(listen)
    options = Options(tuple(files), host, port, state_dir(state))
    live = sys.stdout.isatty() and can_move_cursor(os.environ.get("TERM"))
    screen = LiveScreen(host) if live else PlainScreen(host)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(options, VendorHost.load(), os.environ, screen))
    finally:
        screen.close()


def can_move_cursor(terminal: str | None) -> bool:
    """Whether a table can be drawn over and over on a terminal of this $TERM; elsewhere events are printed as lines."""
    return terminal not in ("dumb", "unknown")


def parse_listen(text: str) -> tuple[str, int]:
    """(host, port) of HOST:PORT, :PORT or PORT. Raises typer.BadParameter."""
    host, _, number = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (number.isascii() and number.isdigit() and int(number) < 65536):
        raise typer.BadParameter(f"{text!r} is not HOST:PORT, such as {DEFAULT_LISTEN}", param_hint="--listen")
    return host, int(number)
