"""The ConfigMap of a gateway: which services it serves, and what to tell waiting clients. No sockets.

A mistake in one entry must not take the other services down: it is left out, or stays as it was, and is said.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from hearth_gateway.cluster.contract import NOTICES_KEY, SERVICES_KEY
from hearth_gateway.cluster.metadata import Metadata
from hearth_gateway.config import NameOwners, ServiceConfig, claim_names, parse_service
from hearth_gateway.errors import ConfigError

log = logging.getLogger("hearth.gateway")

MAX_NOTICE = 500
"""Characters of a notice, at most."""


class ConfigMap(msgspec.Struct, frozen=True):
    """What the gateway reads of a ConfigMap."""

    metadata: Metadata
    data: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The services, the notices for those that have one, and what was wrong: sentences with place, value and remedy."""

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
                log.error("%s", problem)
        self.current = found


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    services: list[msgspec.Raw]


class Reader:
    """Reads one ConfigMap again and again. Entries that did not change are not parsed anew: there may be a thousand of them, and
    whatever this takes, streams of other services wait for it."""

    def __init__(self) -> None:
        self._parsed: dict[bytes, ServiceConfig] = {}

    def read(self, config_map: ConfigMap, before: Mapping[str, ServiceConfig]) -> Settings:
        """The settings in a ConfigMap; ``before``: the services as they are, by name.

        Raises ConfigError when the document cannot be told apart into services: then everything is to stay as it is.
        """
        data = config_map.data or {}
        where = f"ConfigMap {config_map.metadata.name}: {SERVICES_KEY}"
        if SERVICES_KEY not in data:
            raise ConfigError(f"{where}: the key is missing; the operator writes it")
        try:
            entries = msgspec.json.decode(data[SERVICES_KEY], type=_Document).services
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigError(f"{where}: it is not {{'services': [...]}} ({error}); correct it") from error
        problems: list[str] = []
        services = self._services(where, entries, before, problems)
        notices = _notices(
            f"ConfigMap {config_map.metadata.name}: {NOTICES_KEY}", data.get(NOTICES_KEY, "{}"), problems
        )
        return Settings(services, notices, tuple(problems))

    def _services(
        self, where: str, entries: list[msgspec.Raw], before: Mapping[str, ServiceConfig], problems: list[str]
    ) -> tuple[ServiceConfig, ...]:
        """The entries that are good, and for those that are not what was known of them."""
        found: list[ServiceConfig] = []
        parsed: dict[bytes, ServiceConfig] = {}
        owners: NameOwners = ({}, {})
        for index, raw in enumerate(entries):
            text = bytes(raw)
            service = self._parsed.get(text)
            try:
                if service is None:
                    service = _parse(text)
                parsed[text] = service
            except ConfigError as error:
                service = before.get(_name(text))
                why = str(error).replace("services[0]", f"services[{index}]")
                problems.append(f"{where}: {why}; {'it stays as it was' if service else 'it is not served'}")
                if service is None:
                    continue
            try:
                claim_names(service, owners)
            except ConfigError as error:
                problems.append(f"{where}: {error}; services[{index}] is not served")
            else:
                found.append(service)
        self._parsed = parsed
        return tuple(found)


def _parse(text: bytes) -> ServiceConfig:
    try:
        entry = msgspec.json.decode(text)
    except RecursionError as error:
        raise ConfigError("services[0]: it is nested too deeply; correct it") from error
    return parse_service(entry)


def _name(text: bytes) -> str:
    """The name in an entry, if it has one."""
    try:
        return msgspec.json.decode(text, type=_Named).name
    except (msgspec.DecodeError, RecursionError):
        return ""


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


def _notices(where: str, text: str, problems: list[str]) -> Mapping[str, str]:
    try:
        found = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        problems.append(f"{where}: it is not a JSON object ({error}); correct it")
        return {}
    return {
        name: " ".join(notice.split())[:MAX_NOTICE]
        for name, notice in found.items()
        if isinstance(notice, str) and notice.strip()
    }
