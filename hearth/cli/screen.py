"""What `hearth up` shows: plain lines, or a live table on a terminal. Neither can stop the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from hearth.api.phase import Phase

if TYPE_CHECKING:
    from rich.table import Table

    from hearth.local.supervisor import Supervisor
    from hearth.local.views import ServiceView

PHASE_STYLES: Mapping[Phase, str] = {"Ready": "green", "Degraded": "red", "ScaledToZero": "dim"}
REFRESH = 0.25
"""Seconds between snapshots for the live table."""


class Printer:
    """Prints in a thread of its own: a terminal that is paused (Ctrl-S) or a full pipe must not stop the gateway."""

    def __init__(self, show: Callable[[datetime, str, str], None]) -> None:
        self._show = show
        self._queue: SimpleQueue[tuple[datetime, str, str] | None] = SimpleQueue()
        self._thread = Thread(target=self._print, name="printer", daemon=True)
        self._thread.start()

    def put(self, service: str, text: str) -> None:
        self._queue.put((datetime.now().astimezone(), f"{service}: " if service else "", text))

    def close(self) -> None:
        """Print what is left, unless that cannot be done within two seconds."""
        self._queue.put(None)
        self._thread.join(2.0)

    def _print(self) -> None:
        with suppress(OSError):  # whoever read it is gone; the service goes on
            while (event := self._queue.get()) is not None:
                self._show(*event)


class PlainScreen:
    """One line per event, for logs and pipes."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._printer = Printer(_print_line)

    def tell(self, service: str, text: str) -> None:
        self._printer.put(service, text)

    def started(self, supervisor: Supervisor, port: int) -> None:
        names = ", ".join(view.name for view in supervisor.views())
        self.tell("", f"listening on {_place(self._host, port)} for {names}")

    def stopping(self) -> None:
        """The events say it."""

    def close(self) -> None:
        self._printer.close()


class LiveScreen:
    """Events scroll by above a table of the services."""

    def __init__(self, host: str) -> None:
        from rich.console import Console
        from rich.live import Live

        self._host = host
        self.title = ""
        self._views: tuple[ServiceView, ...] = ()
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=4, transient=True)
        self._printer = Printer(self._print)

    def tell(self, service: str, text: str) -> None:
        self._printer.put(service, text)

    def started(self, supervisor: Supervisor, port: int) -> None:
        self.title = f"{_place(self._host, port)}   Ctrl-C stops"
        self._refresh(supervisor)
        self._live.start()

    def stopping(self) -> None:
        self.title = "stopping   Ctrl-C again ends everything at once"

    def close(self) -> None:
        self._printer.close()
        self._live.stop()

    def _refresh(self, supervisor: Supervisor) -> None:
        """Take a snapshot in the loop's thread; another thread draws it."""
        self._views = supervisor.views()
        asyncio.get_running_loop().call_later(REFRESH, self._refresh, supervisor)

    def _print(self, time: datetime, subject: str, text: str) -> None:
        from rich.text import Text

        line = Text(f"{time:%H:%M:%S} ", style="dim")
        line.append(subject, style="bold")
        line.append(text, style="red" if text.startswith("error:") else "")
        self._console.print(line)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, title=self.title, title_justify="left", title_style="dim")
        for column in ("NAME", "PHASE", "READY", "HELD", "IN FLIGHT", "DEVICES", ""):
            table.add_column(column, justify="right" if column in ("READY", "HELD", "IN FLIGHT") else "left")
        for view in self._views:
            phase = Text(view.phase, style=PHASE_STYLES.get(view.phase, "yellow"))
            devices = ",".join(device for replica in view.replicas for device in replica.devices)
            ready = f"{view.ready}/{view.wanted}"
            reason = Text(view.reason, overflow="ellipsis", no_wrap=True)
            table.add_row(view.name, phase, ready, str(view.held), str(view.in_flight), devices, reason)
        return table


def _place(host: str, port: int) -> str:
    if not host:
        return f"http://127.0.0.1:{port}/v1 (every address)"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def _print_line(time: datetime, subject: str, text: str) -> None:
    print(f"{time:%H:%M:%S}.{time.microsecond // 1000:03} {subject}{text}", flush=True)  # noqa: T201
