"""A real node: up, twice, beside another, interrupted, killed, down; and the machine as it was before.

Needs root. Uses names of its own, so that a cluster that somebody works with is left alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.devcluster.machine import begin, devcluster, differences, processes, snapshot
from tests.support.waiting import wait_until
from tools.devcluster import control, network, node
from tools.devcluster.paths import Paths, cluster_paths

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

ONE, TWO = "devtest-1", "devtest-2"


@pytest.fixture
def paths() -> Iterator[Paths]:
    """Return the cluster ONE, which does not exist yet; afterwards the machine is what it was."""
    for name in (ONE, TWO):
        devcluster("down", "--name", name)
    before = snapshot()
    yield cluster_paths(ONE)
    for name in (ONE, TWO):
        devcluster("down", "--name", name)
        assert processes(name) == []
        assert not cluster_paths(name).root.exists()
    assert differences(before, snapshot()) == {}


def _init(paths: Paths) -> int:
    pid = control.init_pid(paths)
    assert pid is not None
    return pid


def _pid_of(name: str, component: str) -> int:
    for pid in processes(name):
        if Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0].endswith(f"/{component}"):
            return pid
    raise AssertionError(f"{component} does not run")


def _capacity(paths: Paths) -> dict[str, str]:
    claim, _ = node.running(paths)
    found = node.api(claim, paths).node(claim.node)
    assert found is not None
    capacity: dict[str, str] = found["status"]["capacity"]
    return capacity


def test_a_life(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devcluster("up", "--name", ONE, "--without-keda")
    first = _init(paths)

    # It does not hang on what started it.
    assert os.getsid(first) != os.getsid(0)
    assert not [line for line in Path(f"/proc/{first}/cgroup").read_text().splitlines() if "hearth" not in line]

    # A second `up` finds nothing to do.
    again = devcluster("up", "--name", ONE, "--without-keda")
    assert "is up" in again.stderr
    assert "starting" not in again.stderr + again.stdout
    assert _init(paths) == first
    assert devcluster("status", "--name", ONE).returncode == 0

    # Whoever keeps the state elsewhere does not take the cluster away.
    with monkeypatch.context() as other_home:
        other_home.setenv("XDG_STATE_HOME", str(tmp_path))
        for command in ("up", "down"):
            refused = devcluster(command, "--name", ONE, check=False)
            assert refused.returncode == 2
            assert str(paths.root) in refused.stderr

    # Accelerators, also after something took them away.
    assert _capacity(paths)["hearth.dev/fake-accelerator"] == "4"
    devcluster("accelerators", "--name", ONE, "nvidia.com/gpu=8", "hearth.dev/fake-accelerator=0")
    assert _capacity(paths)["nvidia.com/gpu"] == "8"
    assert "hearth.dev/fake-accelerator" not in _capacity(paths)
    claim, _ = node.running(paths)
    node.api(claim, paths).call("DELETE", f"/api/v1/nodes/{claim.node}")
    devcluster("stop-component", "--name", ONE, "kubelet")
    devcluster("start-component", "--name", ONE, "kubelet")
    wait_until(lambda: _has_gpu(paths), "the accelerators to come back", 60)

    # A link that somebody deleted is made again.
    subprocess.run(["ip", "link", "del", network.interface_name(ONE)], check=True)
    assert "the link to the node is gone" in devcluster("status", "--name", ONE, check=False).stdout
    devcluster("up", "--name", ONE, "--without-keda")
    assert devcluster("status", "--name", ONE).returncode == 0

    # A component that ends comes back; one that is stopped does not, until `up` repairs it.
    scheduler = _pid_of(ONE, "kube-scheduler")
    os.kill(scheduler, signal.SIGKILL)
    wait_until(lambda: processes_have(ONE, "kube-scheduler", other_than=scheduler), "a new scheduler", 60)
    devcluster("stop-component", "--name", ONE, "kube-apiserver")
    said = devcluster("status", "--name", ONE, check=False)
    assert said.returncode == 1
    assert "kube-apiserver is stopped" in said.stdout
    devcluster("up", "--name", ONE, "--without-keda")
    assert devcluster("status", "--name", ONE).returncode == 0
    assert _init(paths) == first

    # Inside, Services are reached; so they are from this machine.
    address = f"https://{claim.addresses.api}/readyz"
    inside = devcluster("exec", "--name", ONE, "--", "curl", "-sk", address)
    assert "Unauthorized" in inside.stdout or inside.stdout == "ok"

    # A second one beside it has everything of its own.
    devcluster("up", "--name", TWO, "--without-keda")
    other, _ = node.running(cluster_paths(TWO))
    assert other.index != claim.index
    devcluster("down", "--name", TWO)
    assert devcluster("status", "--name", ONE).returncode == 0

    # A killed node is known as one.
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: processes(ONE) == [], "every process to end", 60)
    said = devcluster("status", "--name", ONE, check=False)
    assert said.returncode == 1
    assert "devtest-1: dead" in said.stdout


def _has_gpu(paths: Paths) -> bool:
    try:
        return _capacity(paths).get("nvidia.com/gpu") == "8"
    except AssertionError:
        return False


def processes_have(name: str, component: str, *, other_than: int) -> bool:
    """Whether another process of the component runs."""
    try:
        return _pid_of(name, component) != other_than
    except (AssertionError, FileNotFoundError):
        return False


def _said(text: str) -> Callable[[Paths, Iterator[str]], None]:
    def wait(paths: Paths, lines: Iterator[str]) -> None:
        assert any(text in line for line in lines), f"never said: {text}"

    return wait


def _claimed(paths: Paths, lines: Iterator[str]) -> None:
    wait_until(paths.claim.exists, "the claim", 60)


def _answers(paths: Paths, lines: Iterator[str]) -> None:
    wait_until(lambda: control.init_pid(paths) is not None, "the node's first process", 60)


@pytest.mark.parametrize(
    ("moment", "number", "then"),
    [
        (_said("starting cluster"), signal.SIGKILL, "down"),
        (_claimed, signal.SIGKILL, "up"),
        (_answers, signal.SIGKILL, "down"),
        (_said("images of static binaries"), signal.SIGINT, "down"),
        (_said("API server ready"), signal.SIGTERM, "up"),
    ],
    ids=["starting-down", "claimed-up", "answers-down", "images-interrupt-down", "ready-terminate-up"],
)
def test_interrupted(paths: Paths, moment: Callable[[Paths, Iterator[str]], None], number: int, then: str) -> None:
    process = begin("up", "--name", ONE, "--without-keda")
    assert process.stderr is not None
    with process:
        moment(paths, iter(process.stderr))
        process.send_signal(number)
    if then == "up":
        devcluster("up", "--name", ONE, "--without-keda")
        assert devcluster("status", "--name", ONE).returncode == 0
        # A removal that is interrupted is finished by the next, which the fixture is.
        removal = begin("down", "--name", ONE)
        wait_until(lambda: control.init_pid(paths) is None, "the node to end", 60)
        removal.kill()
        removal.communicate()


def test_keda_can_be_added_and_removed(paths: Paths) -> None:
    devcluster("up", "--name", ONE, "--without-keda", "--hpa-sync", "5s", "--shipped-limits")
    assert "KEDA not installed" in devcluster("status", "--name", ONE).stdout
    devcluster("keda", "install", "--name", ONE)
    assert "KEDA available" in devcluster("status", "--name", ONE).stdout
    claim, _ = node.running(paths)
    target = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "left"}}
    spec = {"scaleTargetRef": {"name": "none"}, "triggers": [{"type": "cron", "metadata": {}}]}
    api = node.api(claim, paths)
    base = "/apis/keda.sh/v1alpha1/namespaces/default/scaledobjects"
    api.call("POST", base, {**target, "metadata": {"name": "left", "finalizers": ["nobody/here"]}, "spec": spec})
    devcluster("keda", "remove", "--name", ONE)
    said = devcluster("status", "--name", ONE)
    assert "KEDA not installed" in said.stdout
    running = Path(f"/proc/{_pid_of(ONE, 'kube-controller-manager')}/cmdline").read_text()
    assert "sync-period=5s" in running
    assert "--kube-api-qps" not in running
