"""The link between this machine and a node: a pair of virtual interfaces, an address and two routes."""

from __future__ import annotations

import hashlib
import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from tools.devcluster.addresses import Addresses, used_networks
from tools.devcluster.command import run
from tools.devcluster.errors import NodeError


def _ip(*arguments: str) -> Any:
    output = run(["ip", "-j", *arguments], error=NodeError)
    return json.loads(output or b"[]")


def _change(*arguments: str) -> None:
    run(["ip", *arguments], error=NodeError)


def interface_name(name: str) -> str:
    """Return this machine's end of the link of the cluster `name`.

    From the cluster's name alone, so that the end can be told whose it is from the moment it is made. 15 characters is
    what the kernel allows.
    """
    return f"hearth-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def peer_name(name: str) -> str:
    """Return the node's end, until it is moved into the node and named eth0."""
    return interface_name(name).replace("-", "n")


def machine_networks() -> tuple[tuple[IPv4Network, str], ...]:
    """Return the networks in use on this machine."""
    return used_networks(_ip("-4", "route", "show"), _ip("-4", "addr", "show"))


def present(name: str) -> bool:
    """Whether this machine's end of the cluster's link is there."""
    return Path("/sys/class/net", interface_name(name)).exists()


def make_link(addresses: Addresses, name: str) -> None:
    """Make this machine's end, with its address and routes. Repairs one that is there.

    Raises NodeError when `ip` refuses.
    """
    own = interface_name(name)
    if not present(name):
        _change("link", "add", "name", own, "type", "veth", "peer", "name", peer_name(name))
    _change("link", "set", "dev", own, "alias", f"hearth-devcluster {name}")
    _change("addr", "replace", f"{addresses.host}/{addresses.link.prefixlen}", "dev", own)
    _change("link", "set", "dev", own, "up")
    for network in (addresses.pods, addresses.services):
        _change("route", "replace", str(network), "via", str(addresses.node), "dev", own)


def give_peer(name: str, pid: int) -> None:
    """Move the other end into the network namespace of process `pid`, where it is eth0."""
    _change("link", "set", "dev", peer_name(name), "name", "eth0", "netns", str(pid))


def remove_link(name: str) -> None:
    """Remove what `make_link` made; the address and the routes go with the interface."""
    if present(name):
        try:
            _change("link", "del", "dev", interface_name(name))
        except NodeError:
            # It goes by itself with the network namespace of a node that ended, which may be this very moment.
            if present(name):
                raise
