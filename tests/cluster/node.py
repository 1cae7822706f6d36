"""Access to the machine of the node: signals to processes in pods, and stopping the control plane's parts.

A devcluster's processes are visible on the host that runs it. With another cluster the scenarios that need this are
skipped, and say why.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def other_cluster() -> str:
    """Return the variable that names another cluster than one of this machine; empty when there is none."""
    return "E2E_CONTEXT" if os.environ.get("E2E_CONTEXT") else ""


def state_directory(name: str) -> Path:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(home) / "hearth/devcluster" / name


def pids_of_pod(uid: str, ending: str = "") -> list[int]:
    """Return the processes of a pod, by their cgroup, without its sandbox; `ending` is part of the command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            groups = (entry / "cgroup").read_text()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if f"pod{uid}" in groups and command and "pause" not in command.split()[0] and ending in command:
            found.append(int(entry.name))
    return found


def kill_pod(uid: str, number: signal.Signals = signal.SIGKILL, ending: str = "") -> list[int]:
    """Send a signal to every process of a pod; return the processes. Raises AssertionError when there is none."""
    pids = pids_of_pod(uid, ending)
    assert pids, f"no process of pod {uid} on this machine"
    for pid in pids:
        os.kill(pid, number)
    return pids


async def devcluster(*argv: str, name: str) -> str:
    """Run a command of the development cluster; return its output. Raises AssertionError when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.devcluster",
        *argv,
        "--name",
        name,
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, f"devcluster {' '.join(argv)}: {output.decode(errors='replace')}"
    return output.decode(errors="replace")
