"""The Debian packages that the node is made of, and what else the machine must offer."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

from tools.devcluster import apt, cgroups
from tools.devcluster.command import program, run
from tools.devcluster.errors import MachineError
from tools.devcluster.images import ARCHITECTURES
from tools.devcluster.paths import cache_root, state_root
from tools.devcluster.report import say

PACKAGES = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "etcd-server": "/usr/bin/etcd",
    "iptables": "/usr/sbin/iptables",
    "conntrack": "/usr/sbin/conntrack",
    "iproute2": "/bin/ip",
    "openssl": "/usr/bin/openssl",
    "util-linux": "/usr/bin/nsenter",
    # For the images, see docs/images.md.
    "buildah": "/usr/bin/buildah",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "uidmap": "/usr/bin/newuidmap",
}
"""Package -> a file of it."""

MODULES = ("overlay", "br_netfilter", "nf_conntrack")
BRIDGE = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


def missing_packages() -> list[str]:
    """Return the packages that are not installed."""
    return [package for package, file in PACKAGES.items() if not Path(file).exists()]


def check_machine() -> None:
    """See whether the node can run here at all.

    Raises MachineError with what is missing and what to do.
    """
    if platform.system() != "Linux":
        raise MachineError(
            f"the node runs on Linux, not on {platform.system()}; use another cluster with E2E_CONTEXT=name"
        )
    if os.geteuid() != 0:
        raise MachineError(
            "the node needs root (namespaces, interfaces, cgroups): run it with sudo -E, "
            "or use another cluster with E2E_CONTEXT=name"
        )
    if platform.machine() not in ARCHITECTURES:
        raise MachineError(f"no images can be made for {platform.machine()}; it works on {', '.join(ARCHITECTURES)}")
    absent = cgroups.missing_controllers()
    if absent:
        raise MachineError(
            f"cgroup controllers {', '.join(absent)} are not mounted under {cgroups.ROOT}; inside a container the node "
            "cannot run, on a machine mount them"
        )
    for name in ("unshare", "nsenter", "setpriv", "mount"):
        program(name)
    with contextlib.suppress(MachineError):  # built into the kernel, or loaded already
        run(["modprobe", "-a", *MODULES], error=MachineError)
    if not BRIDGE.exists():
        raise MachineError(f"{BRIDGE} is not there, Services would not reach pods: load the kernel module br_netfilter")
    run(
        ["unshare", "--fork", "--pid", "--mount", "--net", "--uts", "--ipc", "true"],
        error=_NamespaceError,
    )
    for part in (state_root(), *state_root().parents):
        if part.exists():
            free = os.statvfs(part)
            if free.f_bavail * free.f_frsize < 3 * 2**30:
                raise MachineError(
                    f"{part}: less than 3 GiB free for images and pods; make room, or set XDG_STATE_HOME"
                )
            break


class _NamespaceError(MachineError):
    def __init__(self, text: str) -> None:
        super().__init__(
            f"creating namespaces is refused, even to root ({text}), as in a container without privileges; use a machine"
        )


def install_packages() -> None:
    """Install what is missing with apt-get, starting none of its services.

    Raises MachineError when this is not Debian, or apt-get fails.
    """
    apt.tidy()
    missing = missing_packages()
    if not missing:
        return
    if not Path("/usr/bin/apt-get").exists():
        files = ", ".join(PACKAGES[package] for package in missing)
        raise MachineError(
            f"missing: {files}; this is no Debian, so install the like of {' '.join(missing)} yourself, at these paths"
        )
    say(f"installing the Debian packages {' '.join(missing)}")
    apt.install(missing, cache_root() / "apt.log")
    absent = missing_packages()
    if absent:
        raise MachineError(f"apt-get installed {' '.join(absent)}, but {PACKAGES[absent[0]]} is not there")
