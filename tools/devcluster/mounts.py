"""Mounts: the part of this machine's file system that the node sees. Runs inside the node's mount namespace."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_MS_BIND, _MS_REC, _MS_SHARED = 4096, 16384, 1 << 20

PRIVATE = ("/var/lib", "/var/log", "/srv", "/mnt")
"""Replaced by folders of the cluster's own, so that kubelet, containerd, CNI and hostPath volumes leave nothing."""

MEMORY = ("/run",)
"""Replaced by a tmpfs: sockets, network namespaces, the iptables lock, etcd's data."""

ROOM = "/var/lib"
"""A tmpfs as well where the machine has memory for it: images and pods' layers, which take ten times as long on a disk."""

ROOM_BYTES = 8 << 30
"""Memory that must be available for that."""

CLAIMS = "/tmp/hostpath_pv"  # noqa: S108  # the path is kube-controller-manager's own, and not to be chosen
"""Where volumes of claims are made: a folder of the cluster's own over an empty one of the machine, which `down` removes."""

KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""The kubelet sets these, which are the whole machine's, not the namespace's. It gets files with its values instead."""


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Attach a file system with the system call of that name.

    Raises OSError with the target's name when the mount fails.
    """
    if _LIBC.mount(source.encode(), target.encode(), kind.encode() or None, flags, data.encode() or None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def available_memory() -> int:
    """Bytes of memory that can be had without swapping; 0 where the kernel does not say."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def make_private_tree(state: Path, keep: Iterable[Path]) -> None:
    """Arrange the node's file system.

    Args:
        state: the cluster's state folder; the private folders lie in its `disk`.
        keep: folders that the node needs, wherever they lie: put back where a private folder hides them.
    """
    mount("none", "/", flags=_MS_REC | _MS_SHARED)
    wanted = {path.resolve(): os.open(path, os.O_PATH) for path in (state, *keep)}
    sources = {}
    in_memory = {*MEMORY, ROOM} if available_memory() >= ROOM_BYTES else {*MEMORY}
    for target in PRIVATE:
        if target in in_memory:
            continue
        folder = state / "disk" / target.strip("/").replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        sources[target] = os.open(folder, os.O_PATH)
    settings = state / "disk" / "kernel"
    for name, value in KERNEL_SETTINGS.items():
        file = settings / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value + "\n")
        if Path("/proc/sys", name).exists():
            mount(str(file), f"/proc/sys/{name}", flags=_MS_BIND)
    resolver = Path(os.path.realpath("/etc/resolv.conf"))
    for target in sorted(in_memory):
        mount("tmpfs", target, "tmpfs", data="mode=755")
    Path(CLAIMS).mkdir(exist_ok=True)
    claims = state / "disk" / "claims"
    claims.mkdir(parents=True, exist_ok=True)
    mount(str(claims), CLAIMS, flags=_MS_BIND)
    for target, descriptor in sources.items():
        if Path(target).is_dir():
            # By descriptor: the folder's own path may lie under a target that is already replaced.
            mount(f"/proc/self/fd/{descriptor}", target, flags=_MS_BIND)
    for path, descriptor in wanted.items():
        if not path.exists():
            path.mkdir(parents=True)
            mount(f"/proc/self/fd/{descriptor}", str(path), flags=_MS_BIND)
    for descriptor in (*wanted.values(), *sources.values()):
        os.close(descriptor)
    if not resolver.exists():
        resolver.parent.mkdir(parents=True, exist_ok=True)
        resolver.touch()
    mount(str(state / "config" / "resolv.conf"), str(resolver), flags=_MS_BIND)
    # What is mounted from here on is seen by every process of the node, kubelet's volumes by containerd.
    mount("none", "/", flags=_MS_REC | _MS_SHARED)
