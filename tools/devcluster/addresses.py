"""Address ranges: sixteen disjoint sets, of which a cluster takes the first that nothing on this machine uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from tools.devcluster.errors import MachineError

SETS = 16
"""10.96.0.0/12 holds sixteen /16, and a benchmark with a thousand Services wants a /16 of its own."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The ranges of one cluster."""

    index: int

    @property
    def link(self) -> IPv4Network:
        """Between this machine and the node."""
        return IPv4Network(f"10.89.{self.index}.0/24")

    @property
    def host(self) -> IPv4Address:
        """The address of this machine, as the node sees it."""
        return self.link[1]

    @property
    def node(self) -> IPv4Address:
        """The node as this machine sees it."""
        return self.link[2]

    @property
    def pods(self) -> IPv4Network:
        """1,022 addresses: five times the pods that the node takes."""
        return IPv4Network(f"10.244.{self.index * 4}.0/22")

    @property
    def services(self) -> IPv4Network:
        """Cluster addresses of Services."""
        return IPv4Network(f"10.{96 + self.index}.0.0/16")

    @property
    def api(self) -> IPv4Address:
        """The Service `kubernetes`."""
        return self.services[1]

    @property
    def dns(self) -> IPv4Address:
        """The Service `kube-dns`."""
        return self.services[10]

    def networks(self) -> tuple[IPv4Network, ...]:
        """Everything that is routed to the node."""
        return self.link, self.pods, self.services


def used_networks(
    routes: Iterable[Mapping[str, Any]], links: Iterable[Mapping[str, Any]]
) -> tuple[tuple[IPv4Network, str], ...]:
    """Return the networks that this machine knows, each with the words that name it; from `ip -j route` and `ip -j addr`.

    A default route claims nothing.
    """
    used = []
    for route in routes:
        if route.get("dst", "default") != "default":
            used.append((IPv4Network(route["dst"], strict=False), f"route {route['dst']} dev {route.get('dev', '?')}"))
    for link in links:
        for address in link.get("addr_info", ()):
            if address.get("family") == "inet":
                text = f"{address['local']}/{address['prefixlen']}"
                used.append((IPv4Network(text, strict=False), f"address {text} of {link.get('ifname', '?')}"))
    return tuple(used)


def choose_addresses(used: Sequence[tuple[IPv4Network, str]], claimed: Iterable[int]) -> Addresses:
    """Return the first set that neither this machine nor another cluster uses.

    Raises MachineError when every set is in use.
    """
    taken = set(claimed)
    reasons = []
    for index in range(SETS):
        candidate = Addresses(index)
        if index in taken:
            reasons.append(f"set {index} by another cluster")
            continue
        conflict = next((what for net, what in used for own in candidate.networks() if own.overlaps(net)), None)
        if conflict is None:
            return candidate
        reasons.append(f"set {index} by {conflict}")
    raise MachineError(
        f"all {SETS} address sets (10.89.N.0/24, 10.244.4N.0/22, 10.(96+N).0.0/16) are in use: {'; '.join(reasons[:3])}"
        "; ...; remove those routes or addresses, or take clusters down"
    )
