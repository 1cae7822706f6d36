"""Run of the whole suite, for `make test-scale-e2e`: a cluster, Hearth in it, a smoke test, then every scenario.

    KEEP=1                 leave the cluster up that this run started
    RECORD=1               record how long the scenarios take, for the order of later runs (durations.json)
    E2E_CLUSTER=name       the devcluster to use or to start (default: hearth)
    E2E_CONTEXT=name       an existing cluster, by its context in KUBECONFIG; its nodes must be able to pull the images,
                           and its Services must be reachable from here
    arguments              go to pytest: `make test-scale-e2e ARGS="-k rolled"`

A full run has a second cluster, NAME-2, for the scenarios that stop parts which all others need, and with two gateways in each
namespace; what is left when the others are done runs on both. With an existing cluster or arguments there is one only. A cluster
that was up before stays up, and a release of Hearth in it goes back to what it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.cluster import durations
from tests.cluster.installation import Installation
from tests.cluster.node import ROOT, other_cluster
from tests.cluster.schedule import EVERY, Queue, marked
from tests.cluster.steps import StepError, Steps

HERE = Path(__file__).parent
CHART = HERE.parent / "chart"
WORKERS = os.environ.get("E2E_WORKERS", "6")
NOTHING_SELECTED = 5
"""Exit code of pytest."""


class Suite:
    """The scenarios, as one installation of Hearth runs them. Every method returns whether they passed."""

    def __init__(self, place: Installation) -> None:
        self.place = place

    def chart(self) -> bool:
        """Go the documents' way through a release; only where none is, since it installs and removes one."""
        if self.place.existing or self.place.revision() is not None:
            return True
        return self._pytest("the chart: installed, upgraded, removed", "-m", "cluster", where=CHART / "test_release.py")

    def smoke(self) -> bool:
        """Run the scenario without which no other can pass, and show what happens in it."""
        return self._pytest("smoke test: 0 -> held -> answered -> N -> 0", "-s", "-m", marked("first"))

    def after_smoke(self) -> bool:
        """Run the smoke test, then the scenarios side by side, whose workers start meanwhile."""
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
            gate = Path(folder) / "smoke"
            scenarios = pool.submit(self.side_by_side, gate=gate)
            passed = False
            try:
                passed = self.smoke()
            finally:
                verdict = gate.with_name("verdict")
                verdict.write_text("" if passed else "the smoke test failed; nothing else can be expected to work")
                verdict.replace(gate)
                if not passed:
                    self.place.steps.stopped.set()
            return scenarios.result() and passed

    def side_by_side(self, without: Iterable[str] = EVERY, *, gate: Path | None = None) -> bool:
        """Run those that share the cluster, and what Helm makes of the chart, which fills the gaps.

        The kinds of `without` are left out. Nothing begins before the file `gate` is there.
        """
        return self._pytest(
            "scenarios side by side", str(CHART / "test_render.py"), "-m", f"cluster and not {marked(*without)}",
            "-n", WORKERS, "--dist", "load", "--maxschedchunk", "1", "--durations", "40",
            environment={"E2E_AFTER": str(gate)} if gate else {},
        )  # fmt: skip

    def disruptions(self) -> bool:
        """Run those that do not share the cluster, one after the other."""
        return self._pytest("scenarios that disturb others", "--durations", "20", "-m", marked("alone", "apart"))

    def alone(self, queue: Queue) -> bool:
        """Run those before which everything else has to be quiet, one after the other."""
        return self._one_by_one(queue.alone())

    def files(self, queue: Queue) -> bool:
        """Run one of each file side by side."""
        with ThreadPoolExecutor() as pool:
            return all(list(pool.map(self._one_by_one, queue.files(pairs=self.place.gateways > 1))))

    def rights(self, *others: Installation) -> bool:
        """Check what the run used of its rights, in this cluster and in others, whose releases are gone."""
        audited = " ".join(f"{each.name}={each.since}/{each.until}" for each in (self.place, *others))
        return self._pytest(
            "what the run used of its rights", "-m", marked("last"), environment={"E2E_AUDITED": audited}
        )

    def _one_by_one(self, names: Iterable[str]) -> bool:
        passed = [self._pytest(name.rpartition("::")[2], where=ROOT / name) for name in names]
        return all(passed)

    def _pytest(self, text: str, *argv: str, where: Path = HERE, environment: dict[str, str] | None = None) -> bool:
        """Run pytest once. A scenario that fails does not keep later ones from running."""
        place = self.place
        if place.steps.stopped.is_set():
            return False
        with place.step(text):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", str(where), "-q", *argv, *sys.argv[1:]],
                cwd=ROOT,
                env={**place.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=place.log,
                stderr=None if place.log is None else subprocess.STDOUT,
                check=False,
            )
        return done.returncode in (0, NOTHING_SELECTED)


class SecondCluster(threading.Thread):
    """A second cluster beside the first one, where parts are stopped that everything in it needs.

    What runs alone comes first: it is mostly waiting, while the first cluster is busy with everything else. Last, when the
    scenarios of the first one are done, comes what the run used of its rights.
    """

    def __init__(self, first: Installation, queue: Future[Queue]) -> None:
        super().__init__(name=f"{first.name}-2")
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the thread
        self._first = first
        self._queue = queue
        self._place = Installation(first.steps, self.name, gateways=2, log=self._output)
        self.first_is_done = threading.Event()
        self.passed = False

    def run(self) -> None:
        """Run in the thread."""
        suite = Suite(self._place)
        try:
            self._place.up()
            with self._place.release():
                queue = self._queue.result()
                passed = [suite.alone(queue), suite.files(queue)]
                self.first_is_done.wait()
                self.passed = all([*passed, suite.rights(self._first)])
        except StepError as error:
            print(f"error: {self.name}: {error}", file=sys.stderr)

    def __enter__(self) -> SecondCluster:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for its end, show what it printed, and take it down."""
        if sys.exc_info()[0] is not None:
            self._place.steps.stopped.set()
        self.first_is_done.set()
        self.join()
        self._output.seek(0)
        if text := self._output.read():
            print(f"\n--- of {self.name}:\n{text}", flush=True)
        self._output.truncate(0)
        self._place.down()


def in_one(place: Installation) -> bool:
    """Run everything in one cluster, one after the other: one that exists, or what the arguments choose."""
    suite, chosen = Suite(place), bool(sys.argv[1:])
    place.up()
    try:
        chart = chosen or suite.chart()
        with place.release():
            if chosen:
                return all([suite.side_by_side(("alone", "apart", "last")), suite.disruptions(), suite.rights()])
            if not suite.smoke():
                return False  # nothing else can be expected to work
            shared = suite.side_by_side(("first", "alone", "apart", "last"))
            return all([shared, suite.disruptions(), suite.rights(), chart])
    finally:
        place.down()


def in_two(place: Installation) -> bool:
    """Run in two clusters: what disturbs the others in one of its own."""
    suite = Suite(place)
    with ThreadPoolExecutor() as pool:
        listed = pool.submit(Queue)
        with SecondCluster(place, listed) as second:
            try:
                place.up()
                with place.release():
                    passed = [suite.after_smoke()]
                    if place.steps.stopped.is_set():
                        return False
                    queue = listed.result()
                    passed += [suite.files(queue), suite.alone(queue)]
                second.first_is_done.set()
                place.wait_for_end_of_scenarios()
                passed.append(suite.chart())
                second.join()
                return all(passed) and second.passed
            finally:
                place.down()


def main() -> int:
    """Run the suite; return the exit code."""
    steps = Steps()
    passed = False
    shutil.rmtree(ROOT / "build/cluster-logs", ignore_errors=True)  # of an earlier run
    single = bool(other_cluster() or sys.argv[1:])
    name, context = os.environ.get("E2E_CLUSTER", "hearth"), os.environ.get("E2E_CONTEXT", "")
    try:
        with durations.measuring() as record:
            place = Installation(steps, name, context, gateways=2 if single else 1)
            passed = in_one(place) if single else in_two(place)
            if passed:
                record()
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
    steps.show(passed=passed)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
