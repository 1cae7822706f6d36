"""`hearth up`: serve the manifests on this machine until Ctrl-C."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hearth.cli.inputs import Files
from hearth.cli.listen import read_listen
from hearth.cli.state import StateOption, state_dir


def up(
    *,
    files: Files,
    listen: Annotated[
        str,
        typer.Option(
            "--listen",
            metavar="[HOST]:PORT",
            help="Address of the endpoint; without HOST every address, port 0 is a free one.",
        ),
    ] = "127.0.0.1:8080",
    state: StateOption = None,
) -> None:
    """Serve LLMServices on this machine until Ctrl-C.

    All of them share one OpenAI-compatible endpoint. A model starts when a request for it arrives.

    Ctrl-C waits for requests in flight and stops every process; a second Ctrl-C aborts the requests. Changed files are
    read again.
    """
    import asyncio
    import os

    import uvloop

    from hearth.cli.screen import LiveScreen, PlainScreen
    from hearth.local.app import Options
    from hearth.local.app import up as run
    from hearth.plugins import VendorHost

    address = read_listen(listen)
    options = Options(tuple(files), address, state_dir(state))
    live = sys.stdout.isatty() and can_move_cursor(os.environ.get("TERM"))
    screen = LiveScreen(address.host) if live else PlainScreen(address.host)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(options, VendorHost.load(), os.environ, screen))
    finally:
        screen.close()


def can_move_cursor(terminal: str | None) -> bool:
    """Return whether a table can be redrawn on a terminal of this $TERM; elsewhere events are printed as lines."""
    return terminal not in ("dumb", "unknown")
