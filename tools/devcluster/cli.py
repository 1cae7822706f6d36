"""The command line. What is slow is imported by the command that needs it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.devcluster.errors import DevclusterError, UsageError
from tools.devcluster.paths import DEFAULT_NAME, Paths, cluster_paths
from tools.devcluster.report import answer, say

COMPONENTS = (
    *("etcd", "containerd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
)
PROGRAMS = ("kubectl", "helm", "kubeconfig", "logs", "audit")


_KEDA = {None: "unknown", True: "installed, not available", False: "not installed"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.devcluster", description="A single-node Kubernetes with KEDA on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=summary, description=summary)
        made.add_argument("--name", default=os.environ.get("DEVCLUSTER_NAME") or DEFAULT_NAME, help="the cluster")
        return made

    up = command("up", "bring a cluster up, or complete it")
    up.add_argument("--without-keda", action="store_true", help="leave KEDA out")
    up.add_argument("--hpa-sync", metavar="DURATION", help="how often the HPA looks at its metrics (default 15s)")
    up.add_argument(
        "--shipped-limits", action="store_true", help="leave kube-controller-manager at its own 20 requests a second"
    )
    command("down", "remove a cluster and everything of it")
    command("status", "print the state of a cluster and what is missing; exit status 0 when it is up")
    command("load-image", "put the images of archives into the node").add_argument("files", nargs="+", type=Path)
    trust = command(
        "trust-registry", "let the node pull from a registry of this machine without TLS; print its address"
    )
    trust.add_argument("port", type=int, metavar="PORT")
    command("accelerators", "change the node's extended resources").add_argument("amounts", nargs="+", metavar="KEY=N")
    execute = command("exec", "run a command inside the node's namespaces")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    stop = command("stop-component", "stop a component and leave it stopped")
    stop.add_argument("component", choices=COMPONENTS)
    stop.add_argument("--kill", action="store_true", help="SIGKILL instead of SIGTERM")
    command("start-component", "start a stopped component").add_argument("component", choices=COMPONENTS)
    command("path", "print a path").add_argument("what", choices=PROGRAMS)
    command("keda", "add or remove KEDA").add_argument("verb", choices=("install", "remove"))
    return parser


def main() -> None:
    """Run one command; exit 0, 1 for what went wrong, 2 for a wrong argument, 130 after Ctrl-C."""
    arguments = _parser().parse_args()
    try:
        sys.exit(_run(arguments))
    except KeyboardInterrupt:
        say("interrupted; run the same command again, or `down`")
        sys.exit(130)
    except DevclusterError as error:
        say(f"error: {error}")
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:
        # The reader closed the pipe; nothing may be flushed to it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        say(f"error: {error.filename or 'system'}: {error.strerror or error}")
        sys.exit(1)


def _run(arguments: argparse.Namespace) -> int:
    paths = cluster_paths(arguments.name)
    if context := os.environ.get("E2E_CONTEXT"):
        from tools.devcluster.existing import run_existing

        return run_existing(context, arguments)
    return _run_node(paths, arguments)


def _run_node(paths: Paths, arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            from tools.devcluster.config import Options
            from tools.devcluster.up import bring_up

            chosen: dict[str, Any] = {}
            if arguments.hpa_sync:
                chosen["hpa_sync"] = _duration(arguments.hpa_sync)
            if arguments.shipped_limits:
                chosen["shipped_limits"] = True
            bring_up(paths, Options(**chosen) if chosen else None, with_keda=not arguments.without_keda)
        case "down":
            from tools.devcluster.up import take_down

            take_down(paths)
        case "status":
            return _status(paths)
        case "path":
            _path(paths, arguments.what)
        case "load-image":
            from tools.devcluster.images import load_archive
            from tools.devcluster.node import running

            _, pid = running(paths)
            for file in arguments.files:
                for name in load_archive(pid, file):
                    answer(name)
        case "trust-registry":
            from tools.devcluster.node import running
            from tools.devcluster.registry import trust_registry

            claim, _ = running(paths)
            answer(trust_registry(paths, claim, arguments.port))
        case "accelerators":
            _accelerators(paths, arguments.amounts)
        case "exec":
            return _exec(paths, arguments.argv)
        case "stop-component":
            from tools.devcluster.node import stop_component

            stop_component(paths, arguments.component, kill=arguments.kill)
        case "start-component":
            from tools.devcluster.node import start_component

            start_component(paths, arguments.component)
        case "keda":
            from tools.devcluster.up import install_keda, remove_keda

            (install_keda if arguments.verb == "install" else remove_keda)(paths)
    return 0


def _duration(text: str) -> str:
    number, unit = text[:-1], text[-1:]
    if unit != "s" or not number.isascii() or not number.isdigit() or int(number) < 1:
        raise UsageError(f"--hpa-sync {text!r}: write whole seconds, such as 5s")
    return text


def _path(paths: Paths, what: str) -> None:
    if what in ("kubectl", "helm"):
        from tools.devcluster.build import binaries

        file = binaries()[what]
    else:
        file = {"kubeconfig": paths.kubeconfig, "logs": paths.logs, "audit": paths.audit}[what]
    answer(str(file))
    if not file.exists():
        raise DevclusterError(f"{what}: not there yet; run: make cluster-up NAME={paths.name}")


def _status(paths: Paths) -> int:
    from tools.devcluster.status import look

    found = look(paths)
    answer(f"cluster {found.name}: {found.state}")
    if found.claim and found.pid:
        address = found.claim.addresses
        answer(
            f"  Kubernetes {found.version or 'unknown'}, node {found.claim.node} ({address.node}), first process {found.pid}"
        )
        answer(f"  pods {address.pods}, services {address.services}")
        answer(f"  KEDA {'available' if found.keda_available else _KEDA[found.keda_installed]}")
        for key, amount in sorted(found.accelerators.items()):
            answer(f"  {key}: {amount}")
        for name, item in found.components.items():
            state = "running" if item["running"] else "waits to start again" if item["wanted"] else "stopped"
            restarts = (
                f", started again {item['restarts']} times, last exit {item['last_exit']}" if item["restarts"] else ""
            )
            answer(f"  {name}: {state}{restarts}")
        answer(f"  KUBECONFIG={paths.kubeconfig}")
    for fault in found.faults:
        answer(f"  ! {fault}")
    return 0 if found.state == "up" else 1


def _accelerators(paths: Paths, words: list[str]) -> None:
    import json

    from tools.devcluster import control, node
    from tools.devcluster.nodestatus import parse_accelerators, read_accelerators, status_patch

    amounts = parse_accelerators(words)
    claim, _ = node.running(paths)
    wanted = {**read_accelerators(paths.accelerators), **amounts}
    node.write_atomically(paths.accelerators, json.dumps(wanted) + "\n")
    control.ask(paths, {"do": "accelerators"})
    api = node.api(claim, paths)

    def offered() -> bool:
        found = api.node(claim.node)
        return found is not None and not status_patch(found["status"], wanted)

    node.wait(f"node {claim.node} to offer {' '.join(words)}", 30, offered)


def _exec(paths: Paths, argv: list[str]) -> int:
    from tools.devcluster.node import enter, running

    words = argv[1:] if argv[:1] == ["--"] else argv
    if not words:
        raise UsageError("exec: write the command after --")
    _, pid = running(paths)
    return subprocess.run(
        enter(pid, words), env={**os.environ, "KUBECONFIG": str(paths.kubeconfig)}, check=False
    ).returncode
