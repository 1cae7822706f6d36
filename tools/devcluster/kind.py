"""The same commands on kind, where a Docker engine answers (`CLUSTER=kind`).

Written against kind's documentation and help; not run where this was written, which has no Docker engine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from tools.devcluster.addresses import used_networks
from tools.devcluster.build import KIND_COMPONENT, build_all
from tools.devcluster.command import run
from tools.devcluster.config import DEFAULT_ACCELERATORS
from tools.devcluster.errors import MachineError, NodeError, UsageError
from tools.devcluster.images import archive_names
from tools.devcluster.nodestatus import parse_accelerators, status_patch
from tools.devcluster.paths import Paths
from tools.devcluster.report import answer, say
from tools.devcluster.versions import KEDA

KEDA_MANIFESTS = f"https://github.com/kedacore/keda/releases/download/v{KEDA}/keda-{KEDA}.yaml"

NETWORKS = ("10.96.0.0/16", "10.244.0.0/16")
"""kind's defaults: Services and pods."""


def node_name(name: str) -> str:
    """The node, which is a container too."""
    return f"{name}-control-plane"


def create_command(kind: str, name: str, kubeconfig: Path) -> list[str]:
    """Make a cluster."""
    return [kind, "create", "cluster", "--name", name, "--kubeconfig", str(kubeconfig), "--wait", "180s"]


def delete_command(kind: str, name: str, kubeconfig: Path) -> list[str]:
    """Remove a cluster; kind does not mind when there is none."""
    return [kind, "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig)]


def load_command(kind: str, name: str, file: Path) -> list[str]:
    """Put an archive's images into the node."""
    return [kind, "load", "image-archive", str(file), "--name", name]


def export_command(kind: str, name: str, kubeconfig: Path) -> list[str]:
    """Write the kubeconfig anew."""
    return [kind, "export", "kubeconfig", "--name", name, "--kubeconfig", str(kubeconfig)]


def context_command(name: str, kubeconfig: Path) -> list[str]:
    """Give the context the cluster's name, as on the node of this program; kind calls it kind-NAME."""
    return ["kubectl", f"--kubeconfig={kubeconfig}", "config", "rename-context", f"kind-{name}", name]


def patch_command(name: str, kubeconfig: Path, patch: list[dict[str, object]]) -> list[str]:
    """Change the node's extended resources."""
    base = ["kubectl", f"--kubeconfig={kubeconfig}", "patch", "node", node_name(name), "--subresource=status"]
    return [*base, "--type=json", "-p", json.dumps(patch)]


def kind_paths(paths: Paths) -> Paths:
    """A state folder that no cluster of this program's own can have: names have no dots."""
    return replace(paths, root=paths.root.with_name(f"{paths.name}.kind"))


def route_commands(address: str, verb: str) -> list[list[str]]:
    """Make Services and pods reachable from this machine, as the suite wants them, or no longer."""
    return [["ip", "route", verb, network, "via", address] for network in NETWORKS]


def foreign_routes(
    networks: Iterable[tuple[IPv4Network, str]], routes: Iterable[Mapping[str, str]], address: str
) -> list[str]:
    """The networks of kind that something else on this machine uses."""
    ours = {route["dst"] for route in routes if route.get("gateway") == address}
    return [
        network
        for network in NETWORKS
        if network not in ours and any(used.overlaps(IPv4Network(network)) for used, _ in networks)
    ]


def keda_command(kubeconfig: Path, verb: str) -> list[str]:
    """Add or remove KEDA, from its release."""
    base = ["kubectl", f"--kubeconfig={kubeconfig}"]
    if verb == "remove":
        return [*base, "delete", "--ignore-not-found", "--timeout=120s", "-f", KEDA_MANIFESTS]
    return [*base, "apply", "--server-side", "--force-conflicts", "-f", KEDA_MANIFESTS]


def _check() -> str:
    if shutil.which("docker") is None:
        raise MachineError("CLUSTER=kind needs Docker: install it, or leave CLUSTER out for the node of this program")
    run(["docker", "info"], error=_DockerError)
    for name in ("kubectl", "ip"):
        if shutil.which(name) is None:
            raise MachineError(f"CLUSTER=kind needs {name} on PATH")
    return shutil.which("kind") or str(build_all([KIND_COMPONENT])["kind"])


class _DockerError(MachineError):
    def __init__(self, text: str) -> None:
        super().__init__(f"no Docker engine answers: {text}")


def _exists(kind: str, name: str) -> bool:
    return name in run([kind, "get", "clusters"], error=NodeError).decode().split()


def _accelerators(paths: Paths, amounts: dict[str, int]) -> None:
    get = ["kubectl", f"--kubeconfig={paths.kubeconfig}", "get", "node", node_name(paths.name), "-o", "json"]
    patch = status_patch(json.loads(run(get, error=NodeError))["status"], amounts)
    if patch:
        run(patch_command(paths.name, paths.kubeconfig, patch), error=NodeError)


def _address(paths: Paths) -> str:
    fields = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return run(["docker", "inspect", "-f", fields, node_name(paths.name)], error=NodeError).decode().strip()


def _up(kind: str, paths: Paths, *, with_keda: bool) -> None:
    if os.geteuid() != 0:
        raise MachineError("the routes to Services and pods need root: run it with sudo -E")
    if not _exists(kind, paths.name):
        paths.root.mkdir(parents=True, exist_ok=True)
        say(f"starting kind cluster {paths.name}")
        run(create_command(kind, paths.name, paths.kubeconfig), error=NodeError, timeout=900)
    paths.kubeconfig.unlink(missing_ok=True)  # an interrupted `up` may have left one with kind's own context
    run(export_command(kind, paths.name, paths.kubeconfig), error=NodeError)
    run(context_command(paths.name, paths.kubeconfig), error=NodeError)
    address = _address(paths)
    routes = json.loads(run(["ip", "-j", "-4", "route", "show"], error=NodeError) or b"[]")
    if foreign := foreign_routes(used_networks(routes, []), routes, address):
        raise MachineError(f"{', '.join(foreign)}: another cluster has it on this machine; take that one down first")
    for command in route_commands(address, "replace"):
        run(command, error=NodeError)
    _accelerators(paths, DEFAULT_ACCELERATORS)
    if with_keda:
        run(keda_command(paths.kubeconfig, "install"), error=NodeError, timeout=300)
        wait = ["wait", "-n", "keda", "--for=condition=Available", "--timeout=300s", "deployment", "--all"]
        run(["kubectl", f"--kubeconfig={paths.kubeconfig}", *wait], error=NodeError, timeout=330)
    say(f"kind cluster {paths.name} is up\n  export KUBECONFIG={paths.kubeconfig}")


def _path(kind: str, paths: Paths, what: str) -> str:
    if what == "kubeconfig":
        return str(paths.kubeconfig)
    found = {"kubectl": shutil.which("kubectl"), "helm": shutil.which("helm"), "kind": kind}.get(what)
    if found is None:
        raise UsageError(f"{what}: not with CLUSTER=kind, or not on PATH")
    return found


def run_kind(paths: Paths, arguments: argparse.Namespace) -> int:
    """Carry out a command of the command line on kind.

    Raises:
        DevclusterError: no Docker engine; a program fails.
        UsageError: a command that only the node of this program has.
    """
    paths = kind_paths(paths)
    if arguments.command == "path":
        answer(_path(shutil.which("kind") or "", paths, arguments.what))
        return 0
    kind = _check()
    match arguments.command:
        case "up":
            if arguments.hpa_sync or arguments.shipped_limits:
                raise UsageError("--hpa-sync, --shipped-limits: not with CLUSTER=kind")
            _up(kind, paths, with_keda=not arguments.without_keda)
        case "down":
            if _exists(kind, paths.name):
                for command in route_commands(_address(paths), "del"):
                    with contextlib.suppress(NodeError):  # never made, or gone with the bridge
                        run(command, error=NodeError)
            run(delete_command(kind, paths.name, paths.kubeconfig), error=NodeError, timeout=300)
            shutil.rmtree(paths.root, ignore_errors=True)
        case "status":
            here = _exists(kind, paths.name)
            answer(f"kind cluster {paths.name}: {'up' if here else 'absent'}")
            return 0 if here else 1
        case "load-image":
            for file in arguments.files:
                names = archive_names(file)
                run(load_command(kind, paths.name, file), error=NodeError, timeout=600)
                for name in names:
                    answer(name)
        case "accelerators":
            _accelerators(paths, parse_accelerators(arguments.amounts))
        case "exec":
            return _exec(paths, arguments.argv)
        case "keda":
            run(keda_command(paths.kubeconfig, arguments.verb), error=NodeError, timeout=300)
        case other:
            raise UsageError(f"{other}: not with CLUSTER=kind")
    return 0


def _exec(paths: Paths, argv: Sequence[str]) -> int:
    words = argv[1:] if argv[:1] == ["--"] else argv
    return subprocess.run(["docker", "exec", "-i", node_name(paths.name), *words], check=False).returncode
