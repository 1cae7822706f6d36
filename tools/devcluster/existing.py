"""Existing cluster (`E2E_CONTEXT=name`): nothing of it is made, changed or removed."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from tools.devcluster.command import run
from tools.devcluster.errors import MachineError, NodeError, UsageError
from tools.devcluster.report import answer, say


def kubeconfig() -> str:
    """Return the kubeconfig that kubectl reads."""
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def run_existing(context: str, arguments: argparse.Namespace) -> int:
    """Carry out a command of the command line on an existing cluster.

    Raises NodeError when it does not answer; UsageError for a command that would change it.
    """
    match arguments.command:
        case "path":
            found = kubeconfig() if arguments.what == "kubeconfig" else shutil.which(arguments.what)
            if not found:
                raise MachineError(f"{arguments.what}: not on PATH")
            answer(found)
        case "up" | "status":
            run(["kubectl", f"--context={context}", "get", "--raw", "/readyz"], error=NodeError, timeout=30)
            say(f"using the existing cluster of context {context}; its images, KEDA and accelerators are its owner's")
        case "down":
            say(f"context {context} is an existing cluster: nothing to remove")
        case "load-image":
            files = " ".join(str(file) for file in arguments.files)
            raise UsageError(f"context {context} is an existing cluster: push {files} to a registry that it reads")
        case other:
            raise UsageError(f"{other}: not on an existing cluster (E2E_CONTEXT={context})")
    return 0
