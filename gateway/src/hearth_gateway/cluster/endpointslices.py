"""EndpointSlices of a namespace as lists of backends and of peers. No sockets.

The rules are those of discovery.k8s.io/v1: `ready` that is not set means ready, `terminating` that is not set means no; one
Service may have several slices, a pod may be in two of them while they are reordered, and in one of each address family.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from hearth_gateway.cluster.contract import BACKEND_PORT
from hearth_gateway.cluster.metadata import Metadata
from hearth_gateway.policy.backend import Endpoint

SERVICE_LABEL = "kubernetes.io/service-name"
"""The label of an EndpointSlice with the name of its Service."""

_FAMILIES = {"IPv4": 0, "IPv6": 1}  # the first one that a pod has is used; FQDN is deprecated and left out


class Conditions(msgspec.Struct, frozen=True):
    """The conditions of one address; None where one is not set."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Reference(msgspec.Struct, frozen=True):
    """The object behind an address: a pod."""

    name: str = ""
    uid: str = ""


class Address(msgspec.Struct, frozen=True, rename="camel"):
    """One endpoint. All its addresses are the same pod; the first is as good as any."""

    addresses: list[str]
    conditions: Conditions | None = None
    target_ref: Reference | None = None


class Port(msgspec.Struct, frozen=True):
    """A port of the Service, with the pod's number."""

    name: str | None = None
    port: int | None = None


class EndpointSlice(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of an EndpointSlice that the gateway reads."""

    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: list[Address] | None = None
    ports: list[Port] | None = None

    @property
    def service(self) -> str:
        """The Service that the slice belongs to; empty when it belongs to none."""
        return (self.metadata.labels or {}).get(SERVICE_LABEL, "")


class Slices:
    """The slices of a namespace by Service. Each change returns the names of the Services that it concerns."""

    def __init__(self) -> None:
        self._by_name: dict[str, EndpointSlice] = {}
        self._by_service: dict[str, dict[str, EndpointSlice]] = {}

    def replace(self, slices: Iterable[EndpointSlice]) -> set[str]:
        """Take over a new list; everything that is not in it is gone."""
        before = set(self._by_service)
        self._by_name, self._by_service = {}, {}
        for each in slices:
            self.put(each)
        return before | set(self._by_service)

    def put(self, new: EndpointSlice) -> set[str]:
        """Take over one that was added or changed."""
        changed = self.remove(new)
        if new.service:
            self._by_name[new.metadata.name] = new
            self._by_service.setdefault(new.service, {})[new.metadata.name] = new
            changed.add(new.service)
        return changed

    def remove(self, old: EndpointSlice) -> set[str]:
        """Forget one; only its name counts."""
        known = self._by_name.pop(old.metadata.name, None)
        if known is None:
            return set()
        slices = self._by_service[known.service]
        del slices[known.metadata.name]
        if not slices:
            del self._by_service[known.service]
        return {known.service}

    def of(self, service: str) -> Iterable[EndpointSlice]:
        """Return the slices of one Service."""
        return self._by_service.get(service, {}).values()


def endpoints(slices: Iterable[EndpointSlice], port_name: str = BACKEND_PORT) -> list[Endpoint]:
    """Return the replicas of a Service, ready or not, each pod once, in a stable order."""
    found: dict[str, Endpoint] = {}
    for address, where, port in _addresses(slices, port_name):
        conditions = address.conditions or Conditions()
        new = Endpoint(
            id=_identity(address, where, port),
            address=where,
            port=port,
            ready=conditions.ready is not False and not conditions.terminating,
            terminating=bool(conditions.terminating),
        )
        known = found.get(new.id)
        if known is not None:  # the family that comes first gives the address; what either slice says of the pod counts
            new = Endpoint(
                new.id, known.address, known.port, known.ready or new.ready, known.terminating or new.terminating
            )
        found[new.id] = new
    return [found[key] for key in sorted(found)]


def peers(slices: Iterable[EndpointSlice], port_name: str, default_port: int, own_pod: str) -> dict[str, str]:
    """Return gRPC targets of the other replicas by pod, also of those not ready or terminating: they may hold requests."""
    found: dict[str, str] = {}
    for address, where, port in _addresses(slices, port_name, default_port):
        pod = address.target_ref.name if address.target_ref is not None else ""
        if pod == own_pod and own_pod:
            continue
        found.setdefault(pod or where, f"[{where}]:{port}" if ":" in where else f"{where}:{port}")
    return found


def _addresses(
    slices: Iterable[EndpointSlice], port_name: str, default_port: int | None = None
) -> Iterator[tuple[Address, str, int]]:
    """Yield every address that has the port, IPv4 first."""
    usable = [each for each in slices if each.address_type in _FAMILIES]
    for each in sorted(usable, key=lambda found: (_FAMILIES[found.address_type], found.metadata.name)):
        numbers = [port.port for port in each.ports or () if port.name == port_name and port.port]
        number = numbers[0] if numbers else default_port
        if number is None:
            continue
        for address in each.endpoints or ():
            if address.addresses:
                yield address, address.addresses[0], number


def _identity(address: Address, where: str, port: int) -> str:
    reference = address.target_ref
    return (reference.uid or reference.name if reference is not None else "") or f"{where}:{port}"


def fallback(service: str, namespace: str) -> list[Endpoint]:
    """Return the Service's own address, for when its slices cannot be watched: kube-proxy refuses while no replica is ready."""
    return [Endpoint(id="service", address=f"{service}.{namespace}.svc", port=80)]
