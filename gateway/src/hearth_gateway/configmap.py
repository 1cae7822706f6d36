"""The ConfigMap of a gateway: which services it serves, and what to tell waiting clients. No sockets.

A mistake in one entry must not take the other services down: it is left out, or stays as it was, and is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from .config import ConfigError, NameOwners, ServiceConfig, claim_names, parse_service, parse_services
from .kubernetes import Metadata

SERVICES = "services.json"
NOTICES = "notices.json"
MAX_NOTICE = 500  # characters


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


def read(config_map: ConfigMap, before: Mapping[str, ServiceConfig]) -> Settings:
    """The settings in a ConfigMap; ``before``: the services as they are, by name.

    Raises ConfigError when the document cannot be told apart into services: then everything is to stay as it is.
    """
    data = config_map.data or {}
    where = f"ConfigMap {config_map.metadata.name}: {SERVICES}"
    if SERVICES not in data:
        raise ConfigError(f"{where}: the key is missing; the operator writes it")
    document = _object(where, data[SERVICES])
    problems: list[str] = []
    try:
        services = parse_services(document)
    except ConfigError:
        services = _one_by_one(where, document, before, problems)
    notices = _notices(f"ConfigMap {config_map.metadata.name}: {NOTICES}", data.get(NOTICES, "{}"), problems)
    return Settings(services, notices, tuple(problems))


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: it is not a JSON object ({error}); correct it") from error


def _one_by_one(
    where: str, document: Mapping[str, Any], before: Mapping[str, ServiceConfig], problems: list[str]
) -> tuple[ServiceConfig, ...]:
    """The entries that are good, and for those that are not what was known of them."""
    entries = document.get("services")
    if not isinstance(entries, list) or set(document) != {"services"}:
        raise ConfigError(f"{where}: it is not {{'services': [...]}} and nothing else; correct it")
    found: list[ServiceConfig] = []
    owners: NameOwners = ({}, {})
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        known = before.get(name) if isinstance(name, str) else None
        try:
            service: ServiceConfig | None = parse_service(entry)
        except ConfigError as error:
            text = str(error).replace("services[0]", f"services[{index}]")
            problems.append(f"{where}: {text}; {'it stays as it was' if known else 'it is not served'}")
            service = known
        if service is None:
            continue
        try:
            claim_names(service, owners)
        except ConfigError as error:
            problems.append(f"{where}: {error}; services[{index}] is not served")
        else:
            found.append(service)
    return tuple(found)


def _notices(where: str, text: str, problems: list[str]) -> Mapping[str, str]:
    try:
        found = _object(where, text)
    except ConfigError as error:
        problems.append(str(error))
        return {}
    return {
        name: " ".join(notice.split())[:MAX_NOTICE]
        for name, notice in found.items()
        if isinstance(notice, str) and notice.strip()
    }
