"""`hearth up`: serve the manifests on this machine until Ctrl-C."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from hearth.cli.inputs import Files
from hearth.cli.state import StateOption, state_dir

if TYPE_CHECKING:
    from rich.table import Table

    from hearth.local.app import Screen
    from hearth.local.supervisor import Supervisor

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

    from hearth.local.app import Options
    from hearth.local.app import up as run
    from hearth.plugins import VendorHost

    host, port = parse_listen(listen)
    options = Options(tuple(files), host, port, state_dir(state))
    screen: Screen = LiveScreen() if sys.stdout.isatty() else PlainScreen(host)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(options, VendorHost.load(), os.environ, screen))
    finally:
        if isinstance(screen, LiveScreen):
            screen.close()


def parse_listen(text: str) -> tuple[str, int]:
    """(host, port) of HOST:PORT, :PORT or PORT. Raises typer.BadParameter."""
    host, _, number = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (number.isascii() and number.isdigit() and int(number) < 65536):
        raise typer.BadParameter(f"{text!r} is not HOST:PORT, such as {DEFAULT_LISTEN}", param_hint="--listen")
    return host, int(number)


class PlainScreen:
    """One line per event, for logs and pipes."""

    def __init__(self, host: str) -> None:
        self._host = host

    def tell(self, service: str, text: str) -> None:
        now = datetime.now().astimezone()
        print(f"{now:%H:%M:%S}.{now.microsecond // 1000:03} {_subject(service)}{text}", flush=True)  # noqa: T201

    def started(self, supervisor: Supervisor, port: int) -> None:
        names = ", ".join(view.name for view in supervisor.views())
        self.tell("", f"listening on http://{self._host}:{port}/v1 for {names}")


class LiveScreen:
    """Events scroll by above a table of the services."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._supervisor: Supervisor | None = None
        self._title = ""
        self._live = Live(
            console=self._console, get_renderable=self._table, refresh_per_second=4, redirect_stderr=False
        )

    def tell(self, service: str, text: str) -> None:
        from rich.text import Text

        now = datetime.now().astimezone()
        line = Text(f"{now:%H:%M:%S} ", style="dim")
        line.append(_subject(service), style="bold")
        line.append(text, style="red" if text.startswith("error:") else "")
        self._console.print(line)

    def started(self, supervisor: Supervisor, port: int) -> None:
        self._supervisor = supervisor
        self._title = f"http://127.0.0.1:{port}/v1   Ctrl-C stops"
        self._live.start()

    def close(self) -> None:
        self._supervisor = None
        self._live.stop()

    def _table(self) -> Table:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, title=self._title, title_justify="left", title_style="dim")
        for column in ("NAME", "PHASE", "READY", "HELD", "IN FLIGHT", "DEVICES", ""):
            table.add_column(column, justify="left" if column in ("NAME", "PHASE", "DEVICES", "") else "right")
        for view in self._supervisor.views() if self._supervisor else ():
            devices = ",".join(device for replica in view.replicas for device in replica.devices)
            style = {"Ready": "green", "Degraded": "red", "ScaledToZero": "dim"}.get(view.phase, "yellow")
            ready = f"{view.ready}/{view.wanted}"
            cells = (view.name, f"[{style}]{view.phase}[/]", ready, str(view.held), str(view.in_flight), devices)
            table.add_row(*cells, view.reason[:200].replace("[", "\\["))
        return table


def _subject(service: str) -> str:
    return f"{service}: " if service else ""
