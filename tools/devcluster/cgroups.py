"""The cgroups of a cluster: one folder per controller, under which the node, its kubelet's pods and nothing else run."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from tools.devcluster.errors import MachineError, NodeError

ROOT = Path("/sys/fs/cgroup")

REQUIRED = frozenset({"cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio"})
"""Version 1 controllers that kubelet and runc need."""

REQUIRED_V2 = frozenset({"cpu", "cpuset", "memory", "pids", "io"})


def hierarchies() -> tuple[Path, ...]:
    """Return the root of every mounted hierarchy: one of version 2, or one per version 1 controller (and a hybrid's own)."""
    if (ROOT / "cgroup.controllers").exists():
        return (ROOT,)
    if not ROOT.is_dir():
        return ()
    return tuple(sorted(path for path in ROOT.iterdir() if not path.is_symlink() and (path / "cgroup.procs").exists()))


def missing_controllers() -> list[str]:
    """Return the controllers that the node needs and this machine does not offer."""
    v2 = ROOT / "cgroup.controllers"
    if v2.exists():
        return sorted(REQUIRED_V2 - set(v2.read_text().split()))
    present = {name for path in hierarchies() for name in path.name.split(",")}
    return sorted(REQUIRED - present)


def make(name: str) -> list[Path]:
    """Make the cluster's cgroups; return the ones that the node's first process joins.

    Raises MachineError when they cannot be made.
    """
    joined = []
    try:
        for root in hierarchies():
            for folder in (root / name, root / name / "node"):
                folder.mkdir(exist_ok=True)
                # A version 1 cpuset is born empty and takes no process until it has both.
                for file in ("cpuset.cpus", "cpuset.mems"):
                    if (folder / file).exists() and not (folder / "cgroup.controllers").exists():
                        (folder / file).write_text((folder.parent / file).read_text())
            if (root / "cgroup.controllers").exists() and root == ROOT:
                enable = " ".join(f"+{controller}" for controller in sorted(REQUIRED_V2))
                for folder in (root, root / name):
                    (folder / "cgroup.subtree_control").write_text(enable)
            joined.append(root / name / "node")
    except OSError as error:
        raise MachineError(
            f"cgroup {error.filename or name}: {error.strerror}; root of the machine is needed"
        ) from error
    return joined


def exist(prefix: str) -> bool:
    """Whether there is a cgroup whose name begins so."""
    return any(any(root.glob(f"{prefix}*")) for root in hierarchies())


def processes(name: str) -> set[int]:
    """Every process in the cluster's cgroups."""
    found: set[int] = set()
    for root in hierarchies():
        for folder, _, files in os.walk(root / name):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    found.update(int(word) for word in Path(folder, "cgroup.procs").read_text().split())
    found.discard(0)  # a process of another pid namespace
    return found


def kill(name: str, seconds: float = 15) -> None:
    """End every process in the cluster's cgroups.

    Raises NodeError when some live on after `seconds`.
    """
    end = time.monotonic() + seconds
    while left := processes(name):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise NodeError(f"processes {sorted(left)[:10]} of cgroup {name} do not end")
        time.sleep(0.02)


def remove(name: str, seconds: float = 10) -> None:
    """Remove the cluster's cgroups; their processes must have ended.

    Raises NodeError when some stay busy for `seconds`.
    """
    end = time.monotonic() + seconds
    while True:
        left = []
        for root in hierarchies():
            folders = [Path(folder) for folder, _, _ in os.walk(root / name)]
            for folder in reversed(folders):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    pass
                except OSError:
                    left.append(folder)
        if not left:
            return
        if time.monotonic() > end:
            raise NodeError(f"cgroup {left[0]} cannot be removed: something runs in it")
        time.sleep(0.05)
