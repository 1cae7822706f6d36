"""The services format: which models the gateway serves, under which names and limits.

One format for every place: the stand-alone program reads it from a file, local mode and the cluster hand over the same
entries. Durations are seconds, sizes are bytes.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from hearth_gateway.errors import ConfigError

MAX_FILE_BYTES = 4 * 1024 * 1024


class ColdStart(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What happens to a request that finds no ready backend."""

    mode: Literal["keepalive", "reject"] = "keepalive"
    heartbeat_interval_seconds: float = 10.0


class Limits(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Bounds per service. Held requests and requests in flight on a warm backend are bounded apart."""

    max_held: int = 100
    max_held_bytes: int = 64 * 1024 * 1024
    max_in_flight: int = 1024
    max_request_bytes: int = 32 * 1024 * 1024


class Probe(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How the gateway asks a backend, while requests are held, whether it answers yet."""

    path: str = "/health"
    interval_seconds: float = 0.1
    timeout_seconds: float = 1.0


class Timeouts(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How long a backend may stay silent, in seconds. Clients of OpenAI's libraries give up after 600 s by default."""

    first_byte_seconds: float = 600.0
    idle_seconds: float = 600.0


class StaticEndpoint(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A backend address in the file of the stand-alone program."""

    address: str
    port: int


class ServiceConfig(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One served model. ``name`` is what clients send as ``model`` and what the backend calls itself."""

    name: str
    namespace: str = "default"
    aliases: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    cold_start: ColdStart = ColdStart()
    activation_timeout_seconds: float = 300.0
    limits: Limits = Limits()
    probe: Probe = Probe()
    timeouts: Timeouts = Timeouts()
    endpoints: tuple[StaticEndpoint, ...] = ()


class _Document(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    services: tuple[ServiceConfig, ...] = ()


def parse_services(document: Mapping[str, Any]) -> tuple[ServiceConfig, ...]:
    """Check a whole services document, ``{"services": [...]}``.

    Raises ConfigError for unknown fields, wrong types, values out of range and names that collide.
    """
    try:
        services = msgspec.convert(document, _Document).services
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), document)) from error
    for index, service in enumerate(services):
        _check(f"services[{index}]", service)
    check_names(services)
    return services


def parse_service(entry: Mapping[str, Any]) -> ServiceConfig:
    """Check one entry of the services list. Raises ConfigError."""
    return parse_services({"services": [entry]})[0]


def load_services(path: Path) -> tuple[ServiceConfig, ...]:
    """Read a services file (YAML or JSON). Raises ConfigError, whose message names the file."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes; split the services over several gateways")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; give the path of a services file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none, such as 2026-13-01
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}; correct the file") from error
    if document is None:
        raise ConfigError(f"{path}: it is empty; write a mapping with the key 'services'")
    if not isinstance(document, dict):
        found = "a list" if isinstance(document, list) else f"only the value {document!r:.60}"
        raise ConfigError(f"{path}: found {found}; write a mapping with the key 'services'")
    try:
        return parse_services(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _check(where: str, service: ServiceConfig) -> None:
    if not service.name or not set(service.name) <= _NAME_CHARACTERS:
        raise ConfigError(f"{where}.name: {service.name!r} is not a model name; use letters, digits and - . _ :")
    positive = {
        "coldStart.heartbeatIntervalSeconds": service.cold_start.heartbeat_interval_seconds,
        "activationTimeoutSeconds": service.activation_timeout_seconds,
        "limits.maxInFlight": service.limits.max_in_flight,
        "limits.maxRequestBytes": service.limits.max_request_bytes,
        "probe.intervalSeconds": service.probe.interval_seconds,
        "probe.timeoutSeconds": service.probe.timeout_seconds,
        "timeouts.firstByteSeconds": service.timeouts.first_byte_seconds,
        "timeouts.idleSeconds": service.timeouts.idle_seconds,
    }
    for field, value in positive.items():
        if not 0 < value < math.inf:
            raise ConfigError(f"{where}.{field}: {value:g} must be larger than 0 and finite")
    for field, count in {
        "limits.maxHeld": service.limits.max_held,
        "limits.maxHeldBytes": service.limits.max_held_bytes,
    }.items():
        if count < 0:
            raise ConfigError(f"{where}.{field}: {count} must not be negative")
    if not service.probe.path.startswith("/") or not _is_visible(service.probe.path):
        raise ConfigError(f"{where}.probe.path: {service.probe.path!r} is not a path; start it with /, without blanks")
    for index, endpoint in enumerate(service.endpoints):
        if not endpoint.address or not _is_visible(endpoint.address):
            raise ConfigError(
                f"{where}.endpoints[{index}].address: {endpoint.address!r} is not a host; give a name or an IP"
            )
        if not 0 < endpoint.port < 65536:
            raise ConfigError(f"{where}.endpoints[{index}].port: {endpoint.port} is not a port; use 1 to 65535")
    for field, names in {"aliases": service.aliases, "hosts": service.hosts}.items():
        for index, name in enumerate(names):
            if not name or not name.isprintable() or name != name.strip():
                raise ConfigError(
                    f"{where}.{field}[{index}]: {name!r} is not a name; use visible characters or remove it"
                )


def check_names(services: Sequence[ServiceConfig]) -> None:
    """Every name leads to one service. Raises ConfigError."""
    owners: NameOwners = ({}, {})
    for service in services:
        claim_names(service, owners)


NameOwners = tuple[dict[str, str], dict[str, str]]  # which service has a model name, a host


def claim_names(service: ServiceConfig, owners: NameOwners) -> None:
    """Take the names of one more service. Raises ConfigError, and takes none, when another has one of them."""
    claims = (("model name", _model_names(service), owners[0]), ("host", _host_names(service), owners[1]))
    for what, names, table in claims:
        seen: set[str] = set()
        for name in names:
            if name in table or name in seen:
                users = f"{service.name!r} twice" if name in seen else f"{table[name]!r} and {service.name!r}"
                if table.get(name) == service.name:
                    users = f"{service.name!r} twice"
                raise ConfigError(f"services: the {what} {name!r} is used by {users}; rename one")
            seen.add(name)
    for _, names, table in claims:
        table.update(dict.fromkeys(names, service.name))


def _model_names(service: ServiceConfig) -> Sequence[str]:
    return (service.name, *service.aliases)


def _host_names(service: ServiceConfig) -> Sequence[str]:
    return [host.lower() for host in service.hosts]


def _explain(error: str, document: Mapping[str, Any]) -> str:
    """msgspec's message with the place in front, the value that is there, and what to do."""
    text, _, place = error.replace("`", "'").partition(" - at ")
    where = place.strip("'").removeprefix("$").removeprefix(".") or "the document"
    found: Any = document
    table: Any = _Document
    for field, index in re.findall(r"(\w+)|\[(\d+)\]", place.strip("'").removeprefix("$")):
        try:
            found = found[field or int(index)]
        except (LookupError, TypeError):
            return f"{error.replace('`', chr(39))}; correct it"
        table = _TABLES.get(field, table)
    if unknown := re.search(r"unknown field '(.*)'", text):
        known = table.__struct_encode_fields__
        close = difflib.get_close_matches(unknown[1], known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        return f"{where}: the field {unknown[1]!r} is not known; {remedy}"
    if missing := re.search(r"required field '(.*)'", text):
        return f"{where}: the field {missing[1]!r} is missing; add it"
    if "enum" in text:
        return f"{where}: {found!r} is not known; use keepalive or reject"
    shown = repr(found)
    return f"{where}: {shown if len(shown) <= 80 else shown[:77] + '...'} is not valid; {text[0].lower()}{text[1:]}"


_TABLES: Mapping[str, type[msgspec.Struct]] = {
    "services": ServiceConfig,
    "coldStart": ColdStart,
    "limits": Limits,
    "probe": Probe,
    "timeouts": Timeouts,
    "endpoints": StaticEndpoint,
}


_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:")


def _is_visible(text: str) -> bool:
    return all(0x20 < ord(character) < 0x7F for character in text)
