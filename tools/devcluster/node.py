"""The node from outside: start it, look at it, remove every trace of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tools.devcluster import cgroups, control, network
from tools.devcluster.addresses import choose_addresses
from tools.devcluster.api import Api
from tools.devcluster.command import SBIN, program, run
from tools.devcluster.config import DEFAULT_ACCELERATORS, Claim, Options, kubeconfig, render
from tools.devcluster.errors import NodeError, NotRunningError, UsageError
from tools.devcluster.lock import held
from tools.devcluster.paths import REPOSITORY, Paths, state_root
from tools.devcluster.pki import make_pki

NODE_BINARIES = (*("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"),)

ADDRESSES_LOCK = Path("/run/lock/hearth-devcluster-addresses.lock")
"""One for the machine, whatever the folder of the state: the addresses are the machine's too."""

GRACE = 2.0
"""Seconds from SIGTERM to SIGKILL: an API server with open watches would otherwise serve them for a minute more."""


def read_claim(paths: Paths) -> Claim | None:
    """Return what the cluster is made of; None when it does not exist, or did not come that far."""
    try:
        return Claim.from_json(paths.claim.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def running(paths: Paths) -> tuple[Claim, int]:
    """Return the claim and the first process of a running node.

    Raises NotRunningError when it does not run.
    """
    claim, pid = read_claim(paths), control.init_pid(paths)
    if claim is None or pid is None:
        raise NotRunningError(f"cluster {paths.name!r} is not up; start it with: make cluster-up NAME={paths.name}")
    return claim, pid


def api(claim: Claim, paths: Paths, timeout: float = 5.0) -> Api:
    """Return the cluster's API server."""
    return Api(str(claim.addresses.node), paths.pki, timeout)


def wait(what: str, seconds: float, check: Callable[[], bool]) -> None:
    """Wait until `check` holds.

    Raises NodeError when it does not within `seconds`.
    """
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise NodeError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.{os.getpid()}")
    work.touch(mode=mode)
    work.write_text(text)
    work.replace(path)


def _claims() -> list[Claim]:
    found = (read_claim(Paths(path.name, path)) for path in state_root().iterdir() if path.is_dir())
    return [claim for claim in found if claim]


def make_claim(paths: Paths, binaries: dict[str, Path], options: Options) -> Claim:
    """Choose addresses and write them down, before anything is made that would have to be removed.

    Raises MachineError when no addresses are free.
    """
    paths.root.parent.mkdir(parents=True, exist_ok=True)
    with held(ADDRESSES_LOCK, None):
        addresses = choose_addresses(network.machine_networks(), (claim.index for claim in _claims()))
        used = {name: str(binaries[name]) for name in NODE_BINARIES}
        claim = Claim(paths.name, addresses.index, used, options)
        paths.root.mkdir(mode=0o700, exist_ok=True)
        write_atomically(paths.claim, claim.to_json())
        network.make_link(claim.addresses, claim.name)
    return claim


def write_config(claim: Claim, paths: Paths) -> None:
    """Write keys, certificates, configuration files and the kubeconfig."""
    paths.logs.mkdir(exist_ok=True)
    make_pki(paths.pki, claim.node, claim.addresses)
    for name, text in render(claim, paths).items():
        write_atomically(paths.config / name, text)
    write_atomically(paths.kubeconfig, kubeconfig(claim, paths.pki, "admin"))
    if not paths.accelerators.exists():
        write_atomically(paths.accelerators, json.dumps(DEFAULT_ACCELERATORS) + "\n")


def start(claim: Claim, paths: Paths) -> int:
    """Start the node's first process, apart from this process's terminal, session and cgroup; return its number.

    Raises NodeError when it does not start; MachineError when the cgroups cannot be made.
    """
    folders = [str(folder) for folder in cgroups.make(claim.cgroup)]
    # Into the cgroups first, so that nothing of the node is ever outside of them; then into the namespaces.
    script = (
        'for f in "$@"; do [ "$f" = -- ] && break; echo $$ > "$f/cgroup.procs" || exit 9; shift; done; shift; exec "$@"'
    )
    unshare = [
        *(program("unshare"), "--fork", "--pid", "--kill-child", "--mount", "--mount-proc"),
        *("--net", "--uts", "--ipc", "--", sys.executable, "-B", "-m", "tools.devcluster.init", str(paths.root)),
    ]
    with (paths.logs / "node.log").open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *folders, "--", *unshare],
            cwd="/",
            env={
                "PATH": f"/usr/bin:/bin:{SBIN}",
                "HOME": "/root",
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(REPOSITORY),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    pid = None
    end = time.monotonic() + 20
    while pid is None:
        if process.poll() is not None or time.monotonic() > end:
            raise NodeError(f"the node's first process does not start:\n{log_tail(paths, 'node')}")
        time.sleep(0.02)
        pid = control.init_pid(paths)
    return pid


def ensure(claim: Claim, paths: Paths, pid: int) -> None:
    """Give a started node what an interrupted `up` may have left out; does nothing on a whole one.

    Raises NodeError when it cannot be given.
    """
    state = control.ask(paths, {"do": "status"})
    network.make_link(claim.addresses, claim.name)
    if not state["network"]:
        network.give_peer(claim.name, pid)
    # A node that began lost its link: this machine's end was deleted, and the other went with it.
    if not state["began"]:
        control.ask(paths, {"do": "begin"}, timeout=30)
    elif not state["network"]:
        control.ask(paths, {"do": "network"}, timeout=30)


def set_options(claim: Claim, paths: Paths, options: Options) -> Claim:
    """Change the options of a running cluster; the component that they concern is restarted."""
    if options == claim.options:
        return claim
    changed = replace(claim, options=options)
    for name, text in render(changed, paths).items():
        write_atomically(paths.config / name, text)
    control.ask(paths, {"do": "reload"})
    stop_component(paths, "kube-controller-manager")
    start_component(paths, "kube-controller-manager")
    write_atomically(paths.claim, changed.to_json())  # last: what was interrupted is done again
    return changed


def stop_component(paths: Paths, name: str, *, kill: bool = False) -> None:
    """Stop a component and leave it stopped: SIGTERM, then SIGKILL when it takes longer than `GRACE`.

    Raises NodeError when there is no such component, or it does not end.
    """

    def ended() -> bool:
        return not control.ask(paths, {"do": "status"})["components"][name]["running"]

    control.ask(paths, {"do": "stop", "component": name, "kill": kill})
    try:
        wait(f"{name} to end", GRACE, ended)
    except NodeError:
        control.ask(paths, {"do": "stop", "component": name, "kill": True})
        wait(f"{name} to end", 20, ended)


def start_component(paths: Paths, name: str) -> None:
    """Start a component that was stopped; does nothing when it runs.

    Raises NodeError when there is no such component, or it does not start.
    """
    control.ask(paths, {"do": "start", "component": name})
    wait(f"{name} to start", 20, lambda: bool(control.ask(paths, {"do": "status"})["components"][name]["running"]))


def log_tail(paths: Paths, component: str, lines: int = 8) -> str:
    """Return the last lines of a component's log."""
    try:
        text = (paths.logs / f"{component}.log").read_text(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])


def enter(pid: int, argv: list[str]) -> list[str]:
    """Return the command line that runs `argv` inside the node's namespaces."""
    return [
        *(program("nsenter"), "--target", str(pid), "--mount", "--net", "--pid", "--uts", "--ipc", "--", *argv),
    ]


def foreign_state(paths: Paths) -> Path | None:
    """Return the state folder of a running cluster of this name that is not this one's, started with another XDG_STATE_HOME.

    Cgroups and interfaces are named after the cluster, so that there is one of a name on a machine.
    """
    for pid in cgroups.processes(f"{Claim(paths.name, 0).cgroup}/node"):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if "tools.devcluster.init" in words:
            state = Path(words[words.index("tools.devcluster.init") + 1])
            try:
                known = state.exists()
            except PermissionError:  # another user's
                known = True
            # A node whose state was deleted by hand belongs to the run that cleans up.
            if state != paths.root and known:
                return state
    return None


def check_ours(paths: Paths) -> None:
    """Refuse to touch a cluster of this name that another state folder knows.

    Raises UsageError when there is one.
    """
    other = foreign_state(paths)
    if other is not None:
        raise UsageError(
            f"a cluster {paths.name!r} runs on this machine with its state in {other}: choose another name, "
            "or use the XDG_STATE_HOME that it was started with"
        )


def remains(paths: Paths, claim: Claim | None) -> list[str]:
    """Return what is left of a cluster on this machine, in words; empty when nothing is."""
    cgroup = (claim or Claim(paths.name, 0)).cgroup
    found = []
    if cgroups.processes(cgroup):
        found.append("processes")
    if any((root / cgroup).exists() for root in cgroups.hierarchies()):
        found.append("cgroups")
    if network.present(paths.name):
        found.append("network link")
    if paths.root.exists():
        found.append("state")
    return found


def _unmount(root: Path) -> None:
    # Nothing is mounted outside of the node's namespace; this is for a machine where something went wrong.
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        target = line.split()[4].encode().decode("unicode_escape")
        if target == str(root) or target.startswith(f"{root}/"):
            run(["umount", "--lazy", target], error=NodeError)


def remove(paths: Paths) -> None:
    """End every process of the cluster and remove its link, cgroups and state. Safe at any point and twice.

    Raises NodeError when something does not go.
    """
    cgroup = (read_claim(paths) or Claim(paths.name, 0)).cgroup
    pid = control.init_pid(paths)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    cgroups.kill(cgroup)
    network.remove_link(paths.name)
    cgroups.remove(cgroup)
    _unmount(paths.root)
    if paths.root.exists():
        claim = paths.claim
        for entry in paths.root.iterdir():
            if entry == claim:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        # Last, so that an interrupted removal is known as one.
        claim.unlink(missing_ok=True)
        paths.root.rmdir()
