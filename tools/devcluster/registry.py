"""Registries on this machine that the node may pull from over plain HTTP."""

from __future__ import annotations

from tools.devcluster.config import Claim
from tools.devcluster.paths import Paths


def registry_address(claim: Claim, port: int) -> str:
    """Return where the node finds a registry that listens at `port` of this machine: `10.89.0.1:5000`."""
    return f"{claim.addresses.host}:{port}"


def trust_registry(paths: Paths, claim: Claim, port: int) -> str:
    """Let the node pull from the registry at `port` of this machine without TLS, and return its address.

    containerd reads the file at each pull. Source: containerd's docs/hosts.md.
    """
    address = registry_address(claim, port)
    file = paths.registries / address / "hosts.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'server = "http://{address}"\n\n[host."http://{address}"]\ncapabilities = ["pull", "resolve"]\n')
    return address
