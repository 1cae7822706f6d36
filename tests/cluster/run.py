"""`make test-scale-e2e`: a cluster, Hearth in it, the article's model from 0 to N and back, then every scenario.

    KEEP=1                 leave the cluster up that this run started
    E2E_CLUSTER=name       the devcluster to use or to start (default: hearth)
    E2E_CONTEXT=name       an existing cluster, by its context in KUBECONFIG; its nodes must be able to pull the images,
                           and its Services must be reachable from here
    CLUSTER=kind           a kind cluster, where a Docker engine answers
    arguments              go to pytest: `make test-scale-e2e ARGS="-k rolled"`

A cluster that was up before stays up, and a release of Hearth in it goes back to what it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from . import manifests
from .kube import Kube
from .manifests import DEVICE

Result = TypeVar("Result")
ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
NAMESPACE = "hearth-system"
RELEASE = "hearth"
WORKERS = "4"
NOTHING_SELECTED = 5  # pytest's exit code
DEVICES = "64"
VALUES = ("gateway.replicas=2",)  # what the suite adds to the chart's defaults: two gateways, so that one can be lost


class StepError(Exception):
    """A step of the preparation failed; its output was shown."""


class Run:
    """One run: its cluster and its clock."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.name = os.environ.get("E2E_CLUSTER", "hearth")
        self.context = os.environ.get("E2E_CONTEXT", "")
        self.environment = dict(os.environ)
        self.steps: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say what is done and how long it took."""
        print(f"\n--- {time.monotonic() - self.begin:6.1f} s  {text}", flush=True)
        started = time.monotonic()
        try:
            yield
        finally:
            self.steps.append((text, time.monotonic() - started))

    def do(self, *command: str | Path, quiet: bool = False) -> str:
        """Run a command. Its output is shown, or returned when ``quiet``. Raises StepError."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE if quiet else None,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StepError(f"{' '.join(map(str, command))}: exit code {done.returncode}")
        return done.stdout or ""

    # ------------------------------------------------------------ the cluster

    @contextlib.contextmanager
    def cluster(self) -> Iterator[None]:
        """A cluster that is taken down again if it was not up. An existing one (E2E_CONTEXT) is just looked at."""
        up = subprocess.run([*self.devcluster("status")], cwd=ROOT, capture_output=True, check=False)
        was_up = up.returncode == 0
        try:
            with self.step(f"cluster {self.context or self.name}: {'is up' if was_up else 'up'}"):
                if not was_up:
                    self.do(*self.devcluster("up"))
                self.environment["KUBECONFIG"] = self.do(*self.devcluster("path", "kubeconfig"), quiet=True).strip()
                self.environment["E2E_CLUSTER"] = self.name
            yield
        finally:
            if not was_up and not os.environ.get("KEEP"):
                with self.step(f"cluster {self.name}: down"):
                    self.do(*self.devcluster("down"))

    def devcluster(self, *argv: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "devcluster", *argv, "--name", self.name)

    def images(self) -> None:
        """Build what changed and hand it to the node."""
        if self.context:
            return
        with self.step("images"):
            self.do("make", "--no-print-directory", "cluster-images", f"NAME={self.name}")

    # ------------------------------------------------------------ the release

    @property
    def helm(self) -> list[str]:
        found = self.do(*self.devcluster("path", "helm"), quiet=True).strip()
        return [found, *(["--kube-context", self.context] if self.context else [])]

    @contextlib.contextmanager
    def release(self) -> Iterator[None]:
        """Hearth by its chart, in a namespace that enforces `restricted`; afterwards what was there before."""
        helm = self.helm
        before, definitions = self.revision(), self.api(crds)
        self.environment["E2E_SINCE"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"  # what test_rbac.py looks at
        with self.step("helm install" if before is None else "helm upgrade"):
            self.api(lambda kube: kube.apply(manifests.namespace(NAMESPACE)))
            settings = [word for value in VALUES for word in ("--set", value)]
            self.do(*helm, "upgrade", "--install", RELEASE, "charts/hearth", "-n", NAMESPACE, *settings,
                    "--wait", "--timeout", "3m")  # fmt: skip
        try:
            yield
        finally:
            with self.step("helm uninstall" if before is None else f"helm rollback to revision {before}"):
                if before is None:
                    self.do(*helm, "uninstall", RELEASE, "-n", NAMESPACE, "--wait")
                    self.api(partial(remove_crds, kept=definitions))
                else:
                    self.do(*helm, "rollback", RELEASE, before, "-n", NAMESPACE)

    def revision(self) -> str | None:
        """The revision of the release that is there; None: there is none."""
        listed = json.loads(self.do(*self.helm, "list", "-n", NAMESPACE, "-o", "json", quiet=True) or "[]")
        return next((each["revision"] for each in listed if each["name"] == RELEASE), None)

    def api(self, work: Callable[[Kube], Awaitable[Result]]) -> Result:
        """Some requests to the API server."""

        async def run() -> Result:
            async with Kube.open(Path(self.environment["KUBECONFIG"]), self.context or None) as kube:
                return await work(kube)

        return asyncio.run(run())

    @contextlib.contextmanager
    def devices(self) -> Iterator[None]:
        """More fake accelerators than a node has by itself, for scenarios side by side."""
        before = self.api(partial(set_devices, count=DEVICES))
        try:
            yield
        finally:
            self.api(partial(set_devices, count=before))

    # ------------------------------------------------------------ the scenarios

    def pytest(self, text: str, *argv: str, where: Path = HERE) -> bool:
        """One run of pytest; whether it passed. Its own exit code is not raised: later scenarios run as well."""
        with self.step(text):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", str(where), "-q", *argv, *sys.argv[1:]],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        return done.returncode in (0, NOTHING_SELECTED)

    def chart(self) -> bool:
        """The chart's own tests; that of a whole release only where none is, since it installs and removes one."""
        if sys.argv[1:]:
            return True
        without = ["-k", "not test_release"] if self.context or self.revision() is not None else []
        return self.pytest(
            "the chart: rendered, installed, upgraded, removed", "-m", "cluster", *without, where=HERE.parent / "chart"
        )

    def scenarios(self) -> bool:
        """The article's model first, then everything side by side, then what disturbs the others, then what looks back."""
        chosen = bool(sys.argv[1:])
        if not chosen and not self.pytest(
            "the article's model: 0 -> held -> answered -> N -> 0", "-s", "-m", "article"
        ):
            return False  # nothing else can be expected to work
        first = "" if chosen else "not article and "
        with self.devices():
            passed = [
                self.pytest(
                    "scenarios side by side", "-n", WORKERS, "--dist", "worksteal", "--durations", "40",
                    "-m", f"{first}cluster and not disruptive and not afterwards",
                ),
                self.pytest("scenarios that disturb others", "--durations", "20", "-m", "disruptive"),
            ]  # fmt: skip
        passed.append(self.pytest("what the run used of its rights", "-m", "afterwards"))
        return all(passed)


async def crds(kube: Kube) -> set[str]:
    """The names of the definitions there are."""
    return {each["metadata"]["name"] for each in await kube.list("CustomResourceDefinition")}


async def remove_crds(kube: Kube, kept: set[str]) -> None:
    """Helm never removes definitions; those that were not there before are this run's."""
    for name in await crds(kube) - kept:
        await kube.delete("CustomResourceDefinition", name)


async def set_devices(kube: Kube, count: str | None) -> str | None:
    """Give the first node so many fake accelerators (None: none at all); returns how many it had."""
    (node, *_) = await kube.list("Node")
    before = node["status"]["capacity"].get(DEVICE)
    if count == before:
        return before
    key = DEVICE.replace("/", "~1")
    change = {"op": "add", "value": count} if count is not None else {"op": "remove"}
    patch = [{**change, "path": f"/status/{part}/{key}"} for part in ("capacity", "allocatable")]
    await kube.patch("Node", node["metadata"]["name"], None, patch, "status")
    return before


def main() -> int:
    run = Run()
    passed = False
    try:
        with run.cluster():
            run.images()
            chart = run.chart()
            with run.release():
                passed = run.scenarios() and chart
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
    print()
    for text, seconds in run.steps:
        print(f"{seconds:7.1f} s  {text}")
    print(f"{time.monotonic() - run.begin:7.1f} s  {'passed' if passed else 'FAILED'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
