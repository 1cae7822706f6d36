"""The link between this machine and a node: a pair of virtual interfaces, an address and two routes."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import Any

from devcluster.addresses import Addresses, used_networks
from devcluster.command import run
from devcluster.errors import NodeError


def _ip(*arguments: str) -> Any:
    output = run(["ip", "-j", *arguments], error=NodeError)
    return json.loads(output or b"[]")


def alias(name: str) -> str:
    """What an interface of the cluster `name` is marked with."""
    return f"hearth-devcluster {name}"


def machine_networks() -> tuple[tuple[IPv4Network, str], ...]:
    """The networks in use on this machine."""
    return used_networks(_ip("-4", "route", "show"), _ip("-4", "addr", "show"))


def interfaces(name: str) -> list[str]:
    """The interfaces of this machine that belong to the cluster `name`."""
    return [link["ifname"] for link in _ip("link", "show") if link.get("ifalias") == alias(name)]


def make_link(addresses: Addresses, name: str) -> None:
    """Make this machine's end, with its address and routes. Repairs one that is there.

    Raises:
        NodeError: `ip` refuses; an interface of that name belongs to somebody else.
    """
    own = addresses.interface
    if own not in interfaces(name):
        run(
            ["ip", "link", "add", "name", own, "alias", alias(name), "type", "veth", "peer", "name", addresses.peer],
            error=NodeError,
        )
    run(["ip", "link", "set", "dev", own, "alias", alias(name)], error=NodeError)
    run(["ip", "addr", "replace", f"{addresses.host}/{addresses.link.prefixlen}", "dev", own], error=NodeError)
    run(["ip", "link", "set", "dev", own, "up"], error=NodeError)
    for network in (addresses.pods, addresses.services):
        run(["ip", "route", "replace", str(network), "via", str(addresses.node), "dev", own], error=NodeError)


def give_peer(addresses: Addresses, pid: int) -> None:
    """Move the other end into the network namespace of process `pid`, where it is eth0."""
    run(["ip", "link", "set", "dev", addresses.peer, "name", "eth0", "netns", str(pid)], error=NodeError)


def remove_link(name: str) -> None:
    """Remove what `make_link` made; the address and the routes go with the interface."""
    for interface in interfaces(name):
        run(["ip", "link", "del", "dev", interface], error=NodeError)
