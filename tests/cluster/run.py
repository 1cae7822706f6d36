"""`make test-scale-e2e`: a cluster, Hearth in it, a model from 0 to N and back, then every scenario.

    KEEP=1                 leave the cluster up that this run started
    E2E_CLUSTER=name       the devcluster to use or to start (default: hearth)
    E2E_CONTEXT=name       an existing cluster, by its context in KUBECONFIG; its nodes must be able to pull the images,
                           and its Services must be reachable from here
    arguments              go to pytest: `make test-scale-e2e ARGS="-k rolled"`

A full run has a second cluster, NAME-2, for the scenarios that stop parts which all others need, and with two gateways in each
namespace; what is left when the others are done runs on both. With an existing cluster or arguments there is one only. A cluster
that was up before stays up, and a release of Hearth in it goes back to what it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from tests.cluster import manifests
from tests.cluster.kube import Kube, WaitError
from tests.cluster.listing import KINDS
from tests.cluster.manifests import DEVICE
from tests.cluster.node import other_cluster

Result = TypeVar("Result")
ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CHART = HERE.parent / "chart"
NAMESPACE = "hearth-system"
RELEASE = "hearth"
WORKERS = os.environ.get("E2E_WORKERS", "6")
NOTHING_SELECTED = 5  # pytest's exit code
DEVICES = 64


class StepError(Exception):
    """A step of the preparation failed; its output was shown."""


class Clock:
    """Says what is done, and remembers how long it took. Shared by what runs side by side."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.steps: list[tuple[str, float]] = []
        self.stopped = threading.Event()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begin

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        print(f"\n--- {self.seconds:6.1f} s  {text}", flush=True)
        started = self.seconds
        try:
            yield
        finally:
            self.steps.append((text, self.seconds - started))


class Place:
    """A cluster, Hearth in it, and the scenarios that run there.

    `gateways` is the number of replicas in each namespace. `log` has the output; None: it is shown at once.
    """

    def __init__(
        self, clock: Clock, name: str, context: str = "", *, gateways: int = 1, log: IO[str] | None = None
    ) -> None:
        self.clock = clock
        self.name = name
        self.context = context
        self.gateways = gateways
        self.log = log
        self.was_up = False
        self.since = self.until = ""  # of the release, as the audit log writes times; until: it is still there
        self.environment = {**os.environ, "E2E_CLUSTER": name}

    def step(self, text: str) -> contextlib.AbstractContextManager[None]:
        return self.clock.step(f"{self.context or self.name}: {text}")

    def do(self, *command: str | Path, quiet: bool = False) -> str:
        """Run a command. Its output is shown, or returned when ``quiet``. Raises StepError."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE if quiet else self.log,
            stderr=None if quiet or self.log is None else subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StepError(f"{' '.join(map(str, command))}: exit code {done.returncode}")
        return done.stdout or ""

    # ------------------------------------------------------------ the cluster

    def up(self) -> None:
        """Bring the cluster up, unless it is; build the images that changed and hand them to it."""
        up = subprocess.run([*self.devcluster("status")], cwd=ROOT, capture_output=True, check=False)
        self.was_up = up.returncode == 0
        if not self.was_up:
            with self.step("up"):
                self.do(*self.devcluster("up"))
        self.environment["KUBECONFIG"] = self.do(*self.devcluster("path", "kubeconfig"), quiet=True).strip()
        if not self.context:
            with self.step("images"):
                self.do("make", "--no-print-directory", "cluster-images", f"NAME={self.name}")

    def down(self) -> None:
        """Take the cluster down, if it was not up before."""
        if not self.was_up and not os.environ.get("KEEP"):
            with self.step("down"):
                self.do(*self.devcluster("down"))

    def devcluster(self, *argv: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "tools.devcluster", *argv, "--name", self.name)

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
        self.since = audit_time()
        with self.step("helm install" if before is None else "helm upgrade"):
            self.api(lambda kube: kube.apply(manifests.namespace(NAMESPACE)))
            self.do(*helm, "upgrade", "--install", RELEASE, "charts/hearth", "-n", NAMESPACE,
                    "--set", f"image.registry={manifests.REGISTRY}",
                    "--set", f"gateway.replicas={self.gateways}", "--wait", "--timeout", "3m")  # fmt: skip
        devices = self.api(devices_of_node)
        self.give_devices(DEVICES)
        try:
            yield
        finally:
            self.until = audit_time()  # what the operator loses with its release, it misses
            self.give_devices(devices)
            with self.step("helm uninstall" if before is None else f"helm rollback to revision {before}"):
                if before is None:
                    self.do(*helm, "uninstall", RELEASE, "-n", NAMESPACE, "--wait")
                    self.api(partial(remove_crds, kept=definitions))
                else:
                    self.do(*helm, "rollback", RELEASE, before, "-n", NAMESPACE)

    def give_devices(self, count: int) -> None:
        """Give the node so many fake accelerators: more than it has by itself, for scenarios side by side."""
        if self.context:
            self.api(partial(set_devices, count=count))
        else:  # whose node keeps what it was told
            self.do(*self.devcluster("accelerators", f"{DEVICE}={count}"))

    def revision(self) -> str | None:
        """The revision of the release that is there; None: there is none."""
        listed = json.loads(self.do(*self.helm, "list", "-n", NAMESPACE, "-o", "json", quiet=True) or "[]")
        return next((each["revision"] for each in listed if each["name"] == RELEASE), None)

    def api(self, work: Callable[[Kube], Awaitable[Result]]) -> Result:
        """Some requests to the API server."""

        async def run() -> Result:
            async with await Kube.open(Path(self.environment["KUBECONFIG"]), self.context or None) as kube:
                return await work(kube)

        return asyncio.run(run())

    # ------------------------------------------------------------ the scenarios

    def pytest(self, text: str, *argv: str, where: Path = HERE, environment: dict[str, str] | None = None) -> bool:
        """One run of pytest; whether it passed. Its own exit code is not raised: later scenarios run as well."""
        if self.clock.stopped.is_set():
            return False
        with self.step(text):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", str(where), "-q", *argv, *sys.argv[1:]],
                cwd=ROOT,
                env=environment or self.environment,
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=None if self.log is None else subprocess.STDOUT,
                check=False,
            )
        return done.returncode in (0, NOTHING_SELECTED)

    def chart(self) -> bool:
        """The documents' way through a release; only where none is, since it installs and removes one."""
        if self.context or self.revision() is not None:
            return True
        return self.pytest("the chart: installed, upgraded, removed", "-m", "cluster", where=CHART / "test_release.py")

    def smoke(self) -> bool:
        return self.pytest("smoke test: 0 -> held -> answered -> N -> 0", "-s", "-m", "smoke")

    def after_smoke(self) -> tuple[bool, bool]:
        """The smoke test, then the scenarios side by side, whose workers start meanwhile. Whether they passed."""
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
            gate = Path(folder) / "smoke"
            environment = {**self.environment, "E2E_AFTER": str(gate)}
            scenarios = pool.submit(self.side_by_side, " and not smoke and not pair", environment)
            passed = False
            try:
                passed = self.smoke()
            finally:
                work = gate.with_name("work")
                work.write_text("" if passed else "the smoke test failed; nothing else can be expected to work")
                work.replace(gate)
            return passed, scenarios.result()

    def side_by_side(self, besides: str = "", environment: dict[str, str] | None = None) -> bool:
        """Those that share the cluster, and what helm makes of the chart, which fills the gaps."""
        chosen = f"cluster and not disruptive and not afterwards{besides}"
        return self.pytest(
            "scenarios side by side", str(CHART / "test_render.py"), "-m", chosen, "-n", WORKERS, "--dist", "load",
            "--maxschedchunk", "1", "--durations", "40", environment=environment,
        )  # fmt: skip

    def disruptions(self) -> bool:
        return self.pytest("scenarios that disturb others", "--durations", "20", "-m", "disruptive")

    def alone(self, scenarios: Scenarios) -> bool:
        """Those that run alone, one after the other; whether they passed."""
        return self._one_by_one(scenarios, "")

    def take(self, scenarios: Scenarios) -> bool:
        """One of each file side by side; whether they passed."""
        files = scenarios.files(pair=self.gateways > 1)
        with ThreadPoolExecutor() as pool:
            return all(list(pool.map(partial(self._one_by_one, scenarios), files)))

    def _one_by_one(self, scenarios: Scenarios, file: str) -> bool:
        passed = True
        while (name := scenarios.next(file)) is not None:
            passed &= self.pytest(name.rpartition("::")[2], where=ROOT / name)
        return passed

    def rights(self, *others: Place) -> bool:
        """What the run used of its rights, in this cluster and in others, whose releases are gone."""
        self.environment["E2E_AUDITED"] = " ".join(
            f"{place.name}={place.since}/{place.until}" for place in (self, *others)
        )
        return self.pytest("what the run used of its rights", "-m", "afterwards")


class Scenarios:
    """Those that disturb others, or need two gateways: each runs once, on whichever cluster that can is free first."""

    def __init__(self) -> None:
        listed = subprocess.run(
            [sys.executable, "-m", "tests.cluster.listing"],
            cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False,
        )  # fmt: skip
        found = [line.partition(" ")[::2] for line in listed.stdout.splitlines() if "::" in line]
        if listed.returncode or not {kind for kind, _ in found} >= set(KINDS):
            raise StepError(f"scenarios of some kind were not found:\n{listed.stdout}")
        self._left: dict[str, deque[str]] = {"": deque()}
        self._pairs: set[str] = set()
        for kind, name in found:
            file = "" if kind == "alone" else name.partition("::")[0]
            self._left.setdefault(file, deque()).append(name)
            if kind == "pair":
                self._pairs.add(file)

    def files(self, *, pair: bool) -> list[str]:
        """The files that a cluster can run, one with two gateways for `pair`."""
        return [file for file in self._left if file and (pair or file not in self._pairs)]

    def next(self, file: str) -> str | None:
        """The id of the next one of a file, with no name of those that run alone; None: all were taken."""
        try:
            return self._left[file].popleft()
        except IndexError:
            return None


class Beside(threading.Thread):
    """A second cluster, where parts are stopped that everything in it needs, beside the first one.

    What runs alone comes first: it is mostly waiting, while the first cluster is busy with everything else. Last, when the
    scenarios of the first one are done, comes what the run used of its rights.
    """

    def __init__(self, first: Place, scenarios: Future[Scenarios]) -> None:
        super().__init__(name=f"{first.name}-2")
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the thread
        self._first = first
        self._scenarios = scenarios
        self.first_is_done = threading.Event()
        self.place = Place(first.clock, self.name, gateways=2, log=self._output)
        self.passed = False

    def run(self) -> None:
        try:
            self.place.up()
            with self.place.release():
                scenarios = self._scenarios.result()
                passed = [self.place.alone(scenarios), self.place.take(scenarios)]
                self.first_is_done.wait()
                self.passed = all([*passed, self.place.rights(self._first)])
        except StepError as error:
            print(f"error: {self.name}: {error}", file=sys.stderr)

    def __enter__(self) -> Beside:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for its end, show what it printed, and take it down."""
        if sys.exc_info()[0] is not None:
            self.place.clock.stopped.set()
        self.first_is_done.set()
        self.join()
        self.show()
        self.place.down()

    def show(self) -> None:
        """Print its output once."""
        self._output.seek(0)
        text = self._output.read()
        self._output.truncate(0)
        if text:
            print(f"\n--- of {self.name}:\n{text}", flush=True)


def in_one(place: Place) -> bool:
    """Everything in one cluster, one after the other: one that exists, or what the arguments choose."""
    chosen = bool(sys.argv[1:])
    place.up()
    try:
        chart = chosen or place.chart()
        with place.release():
            if not chosen and not place.smoke():
                return False  # nothing else can be expected to work
            passed = [place.side_by_side("" if chosen else " and not smoke"), place.disruptions(), place.rights()]
            return all(passed) and chart
    finally:
        place.down()


def in_two(place: Place) -> bool:
    """Two clusters: what disturbs the others in one of its own."""
    with ThreadPoolExecutor() as pool:
        found = pool.submit(Scenarios)
        with Beside(place, found) as beside:
            try:
                place.up()
                with place.release():
                    smoke, passed = place.after_smoke()
                    if not smoke:
                        place.clock.stopped.set()
                        return False
                    scenarios = found.result()
                    passed &= place.take(scenarios) & place.alone(scenarios)
                beside.first_is_done.set()
                with place.step("the scenarios' namespaces go"):
                    place.api(no_scenarios)
                passed &= place.chart()
                beside.join()
                return passed and beside.passed
            finally:
                place.down()


def audit_time() -> str:
    """Now, as the audit log writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"


async def no_scenarios(kube: Kube) -> None:
    """Wait until the namespaces of scenarios are gone, which were deleted at their ends."""
    for namespace in await kube.list("Namespace", labels=manifests.SCENARIO):
        if "deletionTimestamp" not in namespace["metadata"]:
            continue  # the release's own
        try:
            await kube.until_gone("Namespace", namespace["metadata"]["name"])
        except WaitError as error:
            raise StepError(str(error)) from None


async def crds(kube: Kube) -> set[str]:
    """The names of the definitions there are."""
    return {each["metadata"]["name"] for each in await kube.list("CustomResourceDefinition")}


async def remove_crds(kube: Kube, kept: set[str]) -> None:
    """Helm never removes definitions; those that were not there before are this run's."""
    for name in await crds(kube) - kept:
        await kube.delete("CustomResourceDefinition", name)


async def devices_of_node(kube: Kube) -> int:
    (node, *_) = await kube.list("Node")
    return int(node["status"]["capacity"].get(DEVICE, "0"))


async def set_devices(kube: Kube, count: int) -> None:
    """Give the first node so many fake accelerators; 0: none at all."""
    (node, *_) = await kube.list("Node")
    has = DEVICE in node["status"]["capacity"]
    if not count and not has:
        return
    key = DEVICE.replace("/", "~1")
    change = {"op": "add", "value": str(count)} if count else {"op": "remove"}
    patch = [{**change, "path": f"/status/{part}/{key}"} for part in ("capacity", "allocatable")]
    await kube.patch("Node", node["metadata"]["name"], None, patch, "status")


def main() -> int:
    clock = Clock()
    passed = False
    shutil.rmtree(ROOT / "build/cluster-logs", ignore_errors=True)  # of an earlier run
    try:
        alone = bool(other_cluster() or sys.argv[1:])
        name, context = os.environ.get("E2E_CLUSTER", "hearth"), os.environ.get("E2E_CONTEXT", "")
        place = Place(clock, name, context, gateways=2 if alone else 1)
        passed = in_one(place) if alone else in_two(place)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
    print()
    for text, seconds in clock.steps:
        print(f"{seconds:7.1f} s  {text}")
    print(f"{clock.seconds:7.1f} s  {'passed' if passed else 'FAILED'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
