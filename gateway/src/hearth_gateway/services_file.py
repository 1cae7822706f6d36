"""The services file of the stand-alone program, YAML or JSON, which is read again when it changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import yaml

from hearth_gateway.config import ServiceConfig, parse_services
from hearth_gateway.errors import ConfigError, Fault
from hearth_gateway.gateway import Gateway

log = logging.getLogger("hearth.gateway")

RELOAD_INTERVAL = 0.5
"""Seconds between two looks at whether the file changed."""

MAX_FILE_BYTES = 4 * 1024 * 1024
"""Bytes of a services file, at most."""


def load_services(path: Path) -> tuple[ServiceConfig, ...]:
    """Read a services file. Raises ConfigError with every mistake; its message names the file."""
    document, duplicates = _read_yaml(path)
    if document is None:
        raise _unusable(path, "it is empty", "write a mapping with the key 'services'")
    if not isinstance(document, dict):
        found = "a list" if isinstance(document, list) else f"only the value {document!r:.60}"
        raise _unusable(path, f"found {found}", "write a mapping with the key 'services'")
    try:
        services = parse_services(document)
    except ConfigError as error:
        raise ConfigError([*duplicates, *error.faults], str(path)) from error
    if duplicates:
        raise ConfigError(duplicates, str(path))
    return services


def _read_yaml(path: Path) -> tuple[Any, list[Fault]]:
    """Return the document, and the keys that are there twice in it."""
    text = _read_text(path)
    try:
        loader = _Loader(text)
        return loader.get_single_data(), sorted(loader.duplicates, key=lambda fault: fault.line)
    except yaml.MarkedYAMLError as error:
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        raise _unusable(path, f"not YAML: {error.problem}", "correct it", line) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none, such as 2026-13-01
        raise _unusable(path, f"not YAML: {' '.join(str(error).split())}", "correct it") from error


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise _unusable(path, f"larger than {MAX_FILE_BYTES} bytes", "split the services over several gateways")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "give the path of a services file") from error
    except UnicodeDecodeError as error:
        raise _unusable(path, f"not UTF-8 text ({error.reason} at byte {error.start})", "save it as UTF-8") from error


def _unusable(path: Path, message: str, remedy: str, line: int = 0) -> ConfigError:
    return ConfigError([Fault((), message, remedy, line)], str(path))


class _Loader(yaml.SafeLoader):
    """A loader that finds the keys which are there twice; YAML's own takes the last value."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicates: list[Fault] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return the next mapping."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    self.duplicates.append(Fault((), f"the key {key.value!r} is there twice", "remove one", line))
                seen.add(key.value)
        return node


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
                for problem in error.problems:
                    log.error("Failed to reload the services file; keeping the current services: %s", problem)
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
