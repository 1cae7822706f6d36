"""Installation of Hearth in a cluster, for the time of a run: what was there before is there afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from tests.cluster import manifests
from tests.cluster.kube import Kube, WaitError
from tests.cluster.manifests import DEVICE
from tests.cluster.node import ROOT
from tests.cluster.steps import StepError, Steps

Result = TypeVar("Result")
NAMESPACE = "hearth-system"
RELEASE = "hearth"
DEVICES = 64
"""Fake accelerators of the node: more than it has by itself, for scenarios side by side."""


class Installation:
    """A cluster, and Hearth in it by its chart.

    `context` names an existing cluster in KUBECONFIG, `name` a devcluster. `gateways` is the number of replicas in each
    namespace. `log` has the output; None: it is shown at once.
    """

    def __init__(
        self, steps: Steps, name: str, context: str = "", *, gateways: int = 1, log: IO[str] | None = None
    ) -> None:
        self.steps = steps
        self.name = name
        self.gateways = gateways
        self.log = log
        self.environment = {**os.environ, "E2E_CLUSTER": name}
        """Of the processes that work on this cluster."""
        self.since = self.until = ""
        """Of the release, as the audit log writes times; `until` is empty while it is there."""
        self.existing = bool(context)
        self._context = context
        self._was_up = False

    def step(self, text: str) -> contextlib.AbstractContextManager[None]:
        """Begin a step on this cluster."""
        return self.steps.step(f"{self._context or self.name}: {text}")

    # ------------------------------------------------------------ the cluster

    def up(self) -> None:
        """Bring the cluster up, unless it is; build the images that changed and hand them to it."""
        up = subprocess.run(self._devcluster("status"), cwd=ROOT, capture_output=True, check=False)
        self._was_up = up.returncode == 0
        if not self._was_up:
            with self.step("up"):
                self._do(*self._devcluster("up"))
        self.environment["KUBECONFIG"] = self._read(*self._devcluster("path", "kubeconfig"))
        if not self.existing:
            with self.step("images"):
                self._do("make", "--no-print-directory", "cluster-images", f"NAME={self.name}")

    def down(self) -> None:
        """Take the cluster down, if it was not up before."""
        if not self._was_up and not os.environ.get("KEEP"):
            with self.step("down"):
                self._do(*self._devcluster("down"))

    # ------------------------------------------------------------ the release

    @contextlib.contextmanager
    def release(self) -> Iterator[None]:
        """Install Hearth, in a namespace that enforces `restricted`; afterwards restore what was there before."""
        before, definitions = self.revision(), self.api(_definitions)
        self.since = audit_time()
        with self.step("helm install" if before is None else "helm upgrade"):
            self.api(lambda kube: kube.apply(manifests.namespace(NAMESPACE)))
            self._helm(
                "upgrade", "--install", RELEASE, "charts/hearth", "--wait", "--timeout", "3m",
                "--set", f"image.registry={manifests.REGISTRY},gateway.replicas={self.gateways}",
            )  # fmt: skip
        devices = self.api(_devices_of_node)
        self._give_devices(DEVICES)
        try:
            yield
        finally:
            self.until = audit_time()  # the operator lacks what it loses with its release
            self._give_devices(devices)
            with self.step("helm uninstall" if before is None else f"helm rollback to revision {before}"):
                if before is None:
                    self._helm("uninstall", RELEASE, "--wait")
                    self.api(partial(_remove_definitions, kept=definitions))
                else:
                    self._helm("rollback", RELEASE, before)

    def revision(self) -> str | None:
        """Return the revision of the release that is there; None: there is none."""
        listed = json.loads(self._read(*self._helm_argv("list", "-o", "json")) or "[]")
        return next((each["revision"] for each in listed if each["name"] == RELEASE), None)

    def wait_for_end_of_scenarios(self) -> None:
        """Wait until the namespaces of scenarios are gone, which were deleted at their ends. Raises StepError."""
        with self.step("the scenarios' namespaces go"):
            self.api(_no_scenarios)

    def api(self, work: Callable[[Kube], Awaitable[Result]]) -> Result:
        """Send requests to the API server."""

        async def run() -> Result:
            kubeconfig = Path(self.environment["KUBECONFIG"])
            async with await Kube.open(kubeconfig, self._context or None) as kube:
                return await work(kube)

        return asyncio.run(run())

    def _give_devices(self, count: int) -> None:
        if self.existing:
            self.api(partial(_set_devices, count=count))
        else:  # its node keeps them when kubelet starts again
            self._do(*self._devcluster("accelerators", f"{DEVICE}={count}"))

    # ------------------------------------------------------------ commands

    def _helm(self, *argv: str) -> None:
        self._do(*self._helm_argv(*argv))

    def _helm_argv(self, *argv: str) -> tuple[str, ...]:
        context = ("--kube-context", self._context) if self._context else ()
        return (self._read(*self._devcluster("path", "helm")), *context, "--namespace", NAMESPACE, *argv)

    def _devcluster(self, *argv: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "tools.devcluster", *argv, "--name", self.name)

    def _do(self, *command: str) -> None:
        """Run a command and show its output. Raises StepError."""
        self._run(command, self.log, None if self.log is None else subprocess.STDOUT)

    def _read(self, *command: str) -> str:
        """Run a command and return its output. Raises StepError."""
        return self._run(command, subprocess.PIPE, None).strip()

    def _run(self, command: tuple[str, ...], output: IO[str] | int | None, errors: int | None) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StepError(f"{' '.join(command)}: exit code {done.returncode}")
        return done.stdout or ""


def audit_time() -> str:
    """Return the time as the audit log writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"


async def _no_scenarios(kube: Kube) -> None:
    for namespace in await kube.list("Namespace", labels=manifests.SCENARIO):
        if "deletionTimestamp" not in namespace["metadata"]:
            continue  # the release's own
        try:
            await kube.until_gone("Namespace", namespace["metadata"]["name"])
        except WaitError as error:
            raise StepError(str(error)) from None


async def _definitions(kube: Kube) -> set[str]:
    return {each["metadata"]["name"] for each in await kube.list("CustomResourceDefinition")}


async def _remove_definitions(kube: Kube, kept: set[str]) -> None:
    """Remove the CRDs of this run, which Helm never does."""
    for name in await _definitions(kube) - kept:
        await kube.delete("CustomResourceDefinition", name)


async def _devices_of_node(kube: Kube) -> int:
    (node, *_) = await kube.list("Node")
    return int(node["status"]["capacity"].get(DEVICE, "0"))


async def _set_devices(kube: Kube, count: int) -> None:
    """Give the first node so many fake accelerators; 0: none at all."""
    (node, *_) = await kube.list("Node")
    has = DEVICE in node["status"]["capacity"]
    if not count and not has:
        return
    key = DEVICE.replace("/", "~1")
    change = {"op": "add", "value": str(count)} if count else {"op": "remove"}
    patch = [{**change, "path": f"/status/{part}/{key}"} for part in ("capacity", "allocatable")]
    await kube.patch("Node", node["metadata"]["name"], None, patch, "status")
