"""Fixtures of the suite on a real cluster. `make test-scale-e2e` prepares everything and runs it; see run.py.

KUBECONFIG and E2E_CONTEXT say which cluster. Scenarios run side by side, each in a namespace of its own, but for those
marked `disruptive`: they stop parts that all of them share.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import durations
from tests.cluster.kube import Kube
from tests.cluster.namespace import Namespace, dump_logs
from tests.cluster.node import ROOT, devcluster, other_cluster, state_directory
from tests.cluster.timeline import Timeline

HERE = Path(__file__).parent
LOGS = ROOT / "build/cluster-logs"
UNCLOSED = (
    "ignore:Exception ignored in. <(function _SelectorTransport|socket.socket):pytest.PytestUnraisableExceptionWarning"
)
"""CPython 3.11 leaves a socket open whose TLS handshake was cancelled, and some later test would fail for it."""
RESULT = pytest.StashKey[dict[str, pytest.TestReport]]()


def pytest_configure(config: pytest.Config) -> None:
    """Measure how long the scenarios take, where the run asks for it; a worker reports to its controller."""
    if os.environ.get(durations.FOLDER) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(durations.DurationReport())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(600))
            item.add_marker(pytest.mark.filterwarnings(UNCLOSED))
    items[:] = durations.in_order(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[misc, assignment]
    item.stash.setdefault(RESULT, {})[report.when or ""] = report
    return report  # type: ignore[return-value]


@pytest.fixture(scope="session", autouse=True)
def after_smoke() -> None:
    """Wait for the file that E2E_AFTER names: workers take a while to start, and do so beside the smoke test."""
    if name := os.environ.get("E2E_AFTER"):
        while not Path(name).exists():
            time.sleep(0.1)
        if words := Path(name).read_text():
            pytest.fail(words, pytrace=False)


@pytest.fixture(scope="session")
def cluster_name() -> str:
    """Return the name of the development cluster, also where another cluster is used."""
    return os.environ.get("E2E_CLUSTER", "hearth")


@pytest.fixture(scope="session")
def kubeconfig(cluster_name: str) -> Path:
    named = os.environ.get("KUBECONFIG")
    found = Path(named) if named else state_directory(cluster_name) / "kubeconfig"
    if not found.exists():
        pytest.fail(f"{found}: there is no cluster; `make test-scale-e2e` starts one, or set KUBECONFIG", pytrace=False)
    return found


@pytest.fixture
async def kube(kubeconfig: Path) -> AsyncIterator[Kube]:
    async with await Kube.open(kubeconfig, os.environ.get("E2E_CONTEXT") or None) as client:
        yield client


@pytest.fixture
def timeline(request: pytest.FixtureRequest) -> Timeline:
    return Timeline(show=request.config.getoption("capture") == "no")


@contextlib.asynccontextmanager
async def failing(request: pytest.FixtureRequest, namespace: Namespace) -> AsyncIterator[None]:
    """When the test fails: write down what is in its namespace, and the logs of every program that has a part in it."""
    yield
    reports = request.node.stash.get(RESULT, {})
    if "call" not in reports or not reports["call"].failed:
        return
    directory = LOGS / namespace.name
    with contextlib.suppress(OSError):
        await namespace.dump(directory)
    (directory / "failure.txt").write_text(reports["call"].longreprtext)
    for system in ("hearth-system", "keda"):
        with contextlib.suppress(OSError):
            await dump_logs(namespace.kube, system, "", directory / system)
    print(f"\nlogs and objects: {directory}")


@pytest.fixture
async def namespace(request: pytest.FixtureRequest, kube: Kube, timeline: Timeline) -> AsyncIterator[Namespace]:
    """Open a namespace called after the test. `@pytest.mark.pod_security("baseline")` lowers what it enforces."""
    level = request.node.get_closest_marker("pod_security")
    name = "e2e-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")[:40]
    enforced = level.args[0] if level else "restricted"
    async with Namespace.open(kube, name.rstrip("-"), timeline, enforced) as opened, failing(request, opened):
        yield opened


@pytest.fixture(scope="session")
def on_this_machine(cluster_name: str) -> str:
    """Return the name of the development cluster of this machine; skip the test on any other cluster."""
    if elsewhere := other_cluster():
        pytest.skip(
            f"needs the processes and files of the node, which {elsewhere} keeps elsewhere: run it on a devcluster"
        )
    if os.geteuid() != 0:
        pytest.skip("needs root, to signal the processes of the node")
    return cluster_name


@pytest.fixture
def run_devcluster(on_this_machine: str) -> Callable[..., Any]:
    """Return what runs a command of the development cluster, such as `"stop-component", "kube-apiserver"`."""

    async def run(*argv: str) -> str:
        return await devcluster(*argv, name=on_this_machine)

    return run
