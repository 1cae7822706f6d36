"""Screens of `hearth up`: plain lines, or a live table on a terminal. Neither can block the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from hearth.api.phase import Phase

if TYPE_CHECKING:
    from rich.table import Table

    from hearth.local.screen import Severity
    from hearth.local.supervisor import Supervisor
    from hearth.local.views import ServiceView

PHASE_STYLES: Mapping[Phase, str] = {"Ready": "green", "Degraded": "red", "ScaledToZero": "dim"}
REFRESH = 0.25
"""Seconds between snapshots for the live table."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something to show; `service` is empty when it concerns all of them."""

    time: datetime
    service: str
    text: str
    severity: Severity

    @property
    def subject(self) -> str:
        """The beginning of the line."""
        return f"{self.service}: " if self.service else ""

    @property
    def message(self) -> str:
        """The rest of the line."""
        return self.text if self.severity == "info" else f"{self.severity}: {self.text}"


class Printer:
    """Thread that prints: a terminal that is paused (Ctrl-S) or a full pipe must not block the gateway."""

    def __init__(self, show: Callable[[Event], None]) -> None:
        self._show = show
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._thread = Thread(target=self._print, name="printer", daemon=True)
        self._thread.start()

    def put(self, service: str, text: str, severity: Severity = "info") -> None:
        """Print an event, now or when the output accepts it."""
        self._queue.put(Event(datetime.now().astimezone(), service, text, severity))

    def close(self) -> None:
        """Print what is left, for at most two seconds."""
        self._queue.put(None)
        self._thread.join(2.0)

    def _print(self) -> None:
        with suppress(OSError):  # the reader is gone; the services go on
            while (event := self._queue.get()) is not None:
                self._show(event)


class PlainScreen:
    """One line per event, for logs and pipes."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._printer = Printer(_print_line)

    def report(self, service: str, text: str, severity: Severity = "info") -> None:
        """Print the event."""
        self._printer.put(service, text, severity)

    def started(self, supervisor: Supervisor, port: int) -> None:
        """Print the address and the services."""
        names = ", ".join(view.name for view in supervisor.views())
        self.report("", f"Listening on {_place(self._host, port)} for {names}")

    def stopping(self) -> None:
        """Do nothing: events report it."""

    def close(self) -> None:
        """Print what is left."""
        self._printer.close()


class LiveScreen:
    """Table of the services, with the events above it."""

    def __init__(self, host: str) -> None:
        from rich.console import Console
        from rich.live import Live

        self._host = host
        self.title = ""
        self._views: tuple[ServiceView, ...] = ()
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=4, transient=True)
        self._printer = Printer(self._print)

    def report(self, service: str, text: str, severity: Severity = "info") -> None:
        """Print the event above the table."""
        self._printer.put(service, text, severity)

    def started(self, supervisor: Supervisor, port: int) -> None:
        """Show the table."""
        self.title = f"{_place(self._host, port)}   Ctrl-C stops"
        self._refresh(supervisor)
        self._live.start()

    def stopping(self) -> None:
        """Show in the title what Ctrl-C does now."""
        self.title = "Stopping   Ctrl-C again kills all processes"

    def close(self) -> None:
        """Print what is left, and remove the table."""
        self._printer.close()
        self._live.stop()

    def _refresh(self, supervisor: Supervisor) -> None:
        """Take a snapshot in the event loop; another thread draws it."""
        self._views = supervisor.views()
        asyncio.get_running_loop().call_later(REFRESH, self._refresh, supervisor)

    def _print(self, event: Event) -> None:
        from rich.text import Text

        line = Text(f"{event.time:%H:%M:%S} ", style="dim")
        line.append(event.subject, style="bold")
        line.append(event.message, style="red" if event.severity == "error" else "")
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


def _print_line(event: Event) -> None:
    stamp = f"{event.time:%H:%M:%S}.{event.time.microsecond // 1000:03}"
    print(f"{stamp} {event.subject}{event.message}", flush=True)  # noqa: T201
