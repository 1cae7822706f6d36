"""The ConfigMap of a gateway: the services that it serves, and the notices for waiting clients. No sockets.

A mistake in one entry must not take the other services down: that service keeps its last valid version or is left out, and
the mistake is reported.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hearth_gateway.cluster.contract import NOTICES_KEY, SERVICES_KEY
from hearth_gateway.cluster.metadata import Metadata
from hearth_gateway.config import NameOwners, ServiceConfig, parse_service
from hearth_gateway.errors import ConfigError, Fault

log = logging.getLogger("hearth.gateway")

MAX_NOTICE = 500
"""Characters of a notice, at most."""


class ConfigMap(msgspec.Struct, frozen=True):
    """The fields of a ConfigMap that the gateway reads."""

    metadata: Metadata
    data: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The services, the notices of those that have one, and the problems: sentences with place, value and remedy."""

    services: tuple[ServiceConfig, ...]
    notices: Mapping[str, str]
    problems: tuple[str, ...] = ()


class Problems:
    """The mistakes in the ConfigMap: those of now, and how many were found since the start. A new one is logged once."""

    def __init__(self) -> None:
        self.current: tuple[str, ...] = ()
        self.total = 0

    def replace(self, found: tuple[str, ...]) -> None:
        """Take over what was found this time."""
        self.total += len(found)
        for problem in found:
            if problem not in self.current:
                log.error("Found a mistake in %s", problem)
        self.current = found


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    services: list[msgspec.Raw]


class Reader:
    """Reads one ConfigMap again and again.

    Entries that did not change are not parsed again: there may be a thousand of them, and parsing delays every stream.
    """

    def __init__(self) -> None:
        self._parsed: dict[bytes, ServiceConfig] = {}

    def read(self, config_map: ConfigMap, before: Mapping[str, ServiceConfig]) -> Settings:
        """Return the settings in a ConfigMap; `before` are the services as they are, by name.

        Raises ConfigError when the document has no list of services: then everything is to stay as it is.
        """
        data = config_map.data or {}
        source = f"ConfigMap {config_map.metadata.name}: {SERVICES_KEY}"
        entries = _entries(data, source)
        problems: list[str] = []
        services = self._services(source, entries, before, problems)
        notices = _notices(
            f"ConfigMap {config_map.metadata.name}: {NOTICES_KEY}", data.get(NOTICES_KEY, "{}"), problems
        )
        return Settings(services, notices, tuple(problems))

    def _services(
        self, source: str, entries: list[msgspec.Raw], before: Mapping[str, ServiceConfig], problems: list[str]
    ) -> tuple[ServiceConfig, ...]:
        """Return the services of the entries that are good, and for the others what was known of them."""
        services: list[ServiceConfig] = []
        parsed: dict[bytes, ServiceConfig] = {}
        owners = NameOwners()
        for index, raw in enumerate(entries):
            text = bytes(raw)
            service: ServiceConfig | None
            try:
                service = parsed[text] = self._parsed.get(text) or _parse(text)
            except ConfigError as error:
                service = before.get(_name(text))
                problems += _problems(
                    error, source, index, "keeping its last valid version" if service else "it is not served"
                )
            if service is None:
                continue
            try:
                owners.claim(service)
            except ConfigError as error:
                problems += _problems(error, source, index, "it is not served")
            else:
                services.append(service)
        self._parsed = parsed
        return tuple(services)


def _entries(data: Mapping[str, str], source: str) -> list[msgspec.Raw]:
    if SERVICES_KEY not in data:
        raise ConfigError([Fault((), "the key is missing", "the operator writes it")], source)
    try:
        return msgspec.json.decode(data[SERVICES_KEY], type=_Document).services
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError([Fault((), f"it is not {{'services': [...]}} ({error})", "correct it")], source) from error


def _problems(error: ConfigError, source: str, index: int, consequence: str) -> list[str]:
    return [f"{source}: {fault.below('services', index)}; {consequence}" for fault in error.faults]


def _parse(text: bytes) -> ServiceConfig:
    try:
        entry = msgspec.json.decode(text)
    except RecursionError as error:
        raise ConfigError([Fault((), "it is nested too deeply", "correct it")]) from error
    return parse_service(entry)


def _name(text: bytes) -> str:
    """Return the name in an entry, empty if it has none."""
    try:
        return msgspec.json.decode(text, type=_Named).name
    except (msgspec.DecodeError, RecursionError):
        return ""


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


def _notices(source: str, text: str, problems: list[str]) -> Mapping[str, str]:
    try:
        found = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        problems.append(f"{source}: it is not a JSON object ({error}); correct it")
        return {}
    return {
        name: " ".join(notice.split())[:MAX_NOTICE]
        for name, notice in found.items()
        if isinstance(notice, str) and notice.strip()
    }
