"""Paths: the state of one cluster, and the caches that all clusters share."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tools.devcluster.errors import UsageError

DEFAULT_NAME = "hearth"
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")

REPOSITORY = Path(__file__).resolve().parents[2]
GO_MODULES = Path(__file__).resolve().parent / "go"


def _base(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The XDG specification: a relative path is invalid and to be ignored.
    root = Path(value) if value.startswith("/") else Path.home() / default
    return root / "hearth" / "devcluster"


def state_root() -> Path:
    """Return the folder of every cluster's state."""
    return _base("XDG_STATE_HOME", ".local/state")


def cache_root() -> Path:
    """Return the folder of everything worth keeping: binaries and rendered manifests."""
    return _base("XDG_CACHE_HOME", ".cache")


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one cluster. Everything under `root` goes when the cluster goes."""

    name: str
    root: Path

    @property
    def kubeconfig(self) -> Path:
        """Credentials of the cluster's administrator."""
        return self.root / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One file per component."""
        return self.root / "logs"

    @property
    def audit(self) -> Path:
        """What service accounts asked the API server."""
        return self.root / "audit.log"

    @property
    def claim(self) -> Path:
        """Name, addresses and options; the first file written and the last one removed."""
        return self.root / "cluster.json"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Configuration files of the components."""
        return self.root / "config"

    @property
    def registries(self) -> Path:
        """A folder for each registry that containerd is told about."""
        return self.config / "certs.d"

    @property
    def disk(self) -> Path:
        """What the node sees as /var/lib, /var/log, /srv and /mnt."""
        return self.root / "disk"

    @property
    def socket(self) -> Path:
        """Where the node's first process answers."""
        return self.root / "control.sock"

    @property
    def accelerators(self) -> Path:
        """The extended resources that the node shall offer, as JSON."""
        return self.root / "accelerators.json"

    @property
    def lock(self) -> Path:
        """The lock of the process that changes the cluster; beside the state, which may be removed under it."""
        return self.root.with_name(f"{self.name}.lock")


def cluster_paths(name: str) -> Paths:
    """Return the paths of the cluster `name`.

    Raises UsageError when the name cannot be a host name, a cgroup and a folder at once.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"name {name!r}: use 1 to 32 lower-case letters, digits and '-', beginning with a letter, "
            "ending with a letter or digit"
        )
    return Paths(name, state_root() / name)
