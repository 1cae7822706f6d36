"""The services format: the models that a gateway serves, their names and their limits.

One format for every place: the stand-alone program reads it from a file, local mode and the cluster hand over the same
entries. Durations are seconds, sizes are bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from hearth_gateway.errors import ConfigError, Fault
from hearth_gateway.schema import find_faults, shown


class ColdStart(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The treatment of a request that finds no ready backend."""

    mode: Literal["keepalive", "reject"] = "keepalive"
    heartbeat_interval_seconds: float = 10.0


class Limits(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Bounds per service. Held requests and requests in flight on a warm backend are bounded apart."""

    max_held: int = 100
    max_held_bytes: int = 64 * 1024 * 1024
    max_in_flight: int = 1024
    max_request_bytes: int = 32 * 1024 * 1024


class Probe(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The requests that ask a backend, while others are held, whether it answers yet."""

    path: str = "/health"
    interval_seconds: float = 0.1
    timeout_seconds: float = 1.0


class Timeouts(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Seconds that a backend may stay silent. Clients of OpenAI's libraries give up after 600 s by default."""

    first_byte_seconds: float = 600.0
    idle_seconds: float = 600.0


class StaticEndpoint(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A backend address in the file of the stand-alone program."""

    address: str
    port: int


class ServiceConfig(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One served model. `name` is what clients send as `model` and what the backend calls itself."""

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
    services: tuple[Any, ...] = ()


def parse_services(document: Mapping[str, Any]) -> tuple[ServiceConfig, ...]:
    """Check a whole services document, `{"services": [...]}`.

    Raises ConfigError with every unknown field, wrong type, value out of range and name that collides.
    """
    faults = list(find_faults(document, _Document))
    if faults:
        raise ConfigError(faults)
    services: list[ServiceConfig] = []
    owners = NameOwners()
    for index, entry in enumerate(document.get("services", ())):
        try:
            service = parse_service(entry)
            owners.claim(service)
        except ConfigError as error:
            faults += [fault.below("services", index) for fault in error.faults]
        else:
            services.append(service)
    if faults:
        raise ConfigError(faults)
    return tuple(services)


def parse_service(entry: object) -> ServiceConfig:
    """Check one entry of the services list. Raises ConfigError."""
    try:
        service = msgspec.convert(entry, ServiceConfig)
    except msgspec.ValidationError as error:
        raise ConfigError([*find_faults(entry, ServiceConfig)]) from error
    faults = [*_bad_names(service), *_bad_numbers(service), *_bad_addresses(service)]
    if faults:
        raise ConfigError(faults)
    return service


_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:")


def _bad_names(service: ServiceConfig) -> Iterator[Fault]:
    if not service.name or not set(service.name) <= _NAME_CHARACTERS:
        yield Fault(("name",), f"{shown(service.name)} is not a model name", "use letters, digits and - . _ :")
    for field, names in {"aliases": service.aliases, "hosts": service.hosts}.items():
        for index, name in enumerate(names):
            if not name or not name.isprintable() or name != name.strip():
                message = f"{shown(name)} is not a name"
                yield Fault((field, index), message, "use visible characters or remove it")


def _bad_numbers(service: ServiceConfig) -> Iterator[Fault]:
    positive: dict[tuple[str, ...], float] = {
        ("coldStart", "heartbeatIntervalSeconds"): service.cold_start.heartbeat_interval_seconds,
        ("activationTimeoutSeconds",): service.activation_timeout_seconds,
        ("limits", "maxInFlight"): service.limits.max_in_flight,
        ("limits", "maxRequestBytes"): service.limits.max_request_bytes,
        ("probe", "intervalSeconds"): service.probe.interval_seconds,
        ("probe", "timeoutSeconds"): service.probe.timeout_seconds,
        ("timeouts", "firstByteSeconds"): service.timeouts.first_byte_seconds,
        ("timeouts", "idleSeconds"): service.timeouts.idle_seconds,
    }
    for path, value in positive.items():
        if not 0 < value < math.inf:
            number = f"{value:g}" if isinstance(value, float) else shown(value)
            yield Fault(path, f"{number} is not larger than 0 and finite", "write such a number")
    counts = {"maxHeld": service.limits.max_held, "maxHeldBytes": service.limits.max_held_bytes}
    for field, count in counts.items():
        if count < 0:
            yield Fault(("limits", field), f"{shown(count)} is negative", "write 0 or more")


def _bad_addresses(service: ServiceConfig) -> Iterator[Fault]:
    path = service.probe.path
    if not path.startswith("/") or not _is_visible(path):
        yield Fault(("probe", "path"), f"{shown(path)} is not a path", "start it with /, without blanks")
    for index, endpoint in enumerate(service.endpoints):
        place = ("endpoints", index)
        if not endpoint.address or not _is_visible(endpoint.address):
            yield Fault((*place, "address"), f"{shown(endpoint.address)} is not a host", "give a name or an IP address")
        if not 0 < endpoint.port < 65536:
            yield Fault((*place, "port"), f"{shown(endpoint.port)} is not a port", "use 1 to 65535")


def _is_visible(text: str) -> bool:
    return all(0x20 < ord(character) < 0x7F for character in text)


class NameOwners:
    """The services that have each model name and each host: every name leads to one service."""

    def __init__(self) -> None:
        self._by_kind: dict[str, dict[str, str]] = {"model name": {}, "host": {}}

    def claim(self, service: ServiceConfig) -> None:
        """Take the names of one more service. Raises ConfigError, and takes none, when another has one of them."""
        claims = {"model name": (service.name, *service.aliases), "host": [host.lower() for host in service.hosts]}
        faults = [fault for kind, names in claims.items() for fault in self._conflicts(service.name, kind, names)]
        if faults:
            raise ConfigError(faults)
        for kind, names in claims.items():
            self._by_kind[kind].update(dict.fromkeys(names, service.name))

    def _conflicts(self, owner: str, kind: str, names: Sequence[str]) -> Iterator[Fault]:
        seen: set[str] = set()
        for name in names:
            other = owner if name in seen else self._by_kind[kind].get(name)
            if other is not None:
                users = f"{owner!r} twice" if other == owner else f"{other!r} and {owner!r}"
                yield Fault((), f"the {kind} {name!r} is used by {users}", "rename one")
            seen.add(name)
