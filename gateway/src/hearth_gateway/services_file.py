"""The services file of the stand-alone program, which is read again when it changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from hearth_gateway.config import load_services
from hearth_gateway.errors import ConfigError
from hearth_gateway.gateway import Gateway

log = logging.getLogger("hearth.gateway")

RELOAD_INTERVAL = 0.5
"""Seconds between two looks at whether the file changed."""


class ServicesFile:
    """The source of the gateway's services; a file with mistakes changes nothing. Raises ConfigError at the start."""

    def __init__(self, gateway: Gateway, path: Path) -> None:
        self._gateway = gateway
        self._path = path
        self._seen = _stamp(path)
        self._task: asyncio.Task[None] | None = None
        gateway.apply(load_services(path))

    async def start(self) -> None:
        """Follow the file."""
        self._task = asyncio.create_task(self._reload())

    async def leave(self, grace: float, cut: asyncio.Event) -> None:
        """Keep the services as they are: the gateway stops accepting connections at once."""
        await self.stop()

    async def stop(self) -> None:
        """Stop following the file."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _reload(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_INTERVAL)
            stamp = _stamp(self._path)
            if stamp == self._seen:
                continue
            self._seen = stamp
            try:
                services = load_services(self._path)
            except ConfigError as error:
                log.error("Failed to reload the services file; keeping the current services: %s", error)
                continue
            self._gateway.apply(services)
            log.info("Applied the services file: %s", ", ".join(service.name for service in services) or "no services")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is written or replaced; None when there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
