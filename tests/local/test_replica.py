"""Replica: a real process that starts, exits, restarts and stops. What it reports, and what it leaves behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hearth.api import HearthError
from hearth.local.autoscaler import ScalerConfig
from hearth.local.replica import Replica, Surroundings
from hearth.local.state import StateDir
from hearth.local.workload import Workload
from hearth.planning import HttpProbe, Launch
from tests.support.waiting import until

SERVES = "import sys, http.server as s; s.HTTPServer(('127.0.0.1', int(sys.argv[1])), s.BaseHTTPRequestHandler).serve_forever()"
"""Every request is answered with 501, so probes fail."""


@dataclass
class Bed:
    """Surroundings of one replica, and what it reported."""

    state: StateDir
    surroundings: Surroundings
    reports: list[str] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)

    def start(self, launch: Callable[[Sequence[str], int], Launch], **changes: Any) -> Replica:
        base: dict[str, Any] = {"drain_timeout": 5.0, "grace": 5.0, "gateway": None, "fingerprint": "x"}
        scaling = ScalerConfig(min=0, max=1, target=1, cooldown=1, stabilization=1)
        workload = Workload("qwen", "vllm", "cpu", 1, scaling, launch=launch, **{**base, **changes})
        replica = Replica("0", workload, ("0",), self.surroundings, changed=lambda: None, report=self.reports.append)
        self.replicas.append(replica)
        return replica

    async def reported(self, text: str) -> None:
        await until(lambda: any(text in line for line in self.reports), lambda: f"{text!r} in {self.reports}")


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    state = StateDir(tmp_path)
    state.create()
    bed = Bed(state, Surroundings(state, {}, set()))
    yield bed
    for replica in bed.replicas:
        replica.kill()
        await until(lambda replica=replica: replica.gone, "the replica is gone")  # type: ignore[misc]
    assert state.records() == ()
    assert bed.surroundings.ports == set()


def command(*argv: str, startup: float = 30.0) -> Callable[[Sequence[str], int], Launch]:
    def launch(devices: Sequence[str], port: int) -> Launch:
        probe = HttpProbe(
            path="/",
            port=port,
            headers={},
            initial_delay=0.0,
            period=0.05,
            timeout=0.5,
            success_threshold=1,
            failure_threshold=round(startup / 0.05),
        )
        return Launch(
            argv=(*argv, str(port)),
            env={"CHIPS": ",".join(devices)},
            cwd=None,
            host="127.0.0.1",
            port=port,
            startup=probe,
            readiness=probe,
            liveness=None,
            drain_timeout=5.0,
            grace_period=5.0,
        )

    return launch


async def test_a_process_that_exits_is_restarted_and_its_last_line_is_the_cause(bed: Bed) -> None:
    replica = bed.start(
        command(sys.executable, "-c", "import os, sys; sys.exit('no driver on ' + os.environ['CHIPS'])")
    )
    await bed.reported("exited with code 1: no driver on 0; restarting")
    await bed.reported("exited with code 1: no driver on 0; restarting in 1s")
    assert replica.failures.is_loop
    assert replica.restarts == 2


async def test_a_command_that_is_absent_waits_before_the_next_start(bed: Bed) -> None:
    replica = bed.start(command("vllm-of-nobody"))
    await bed.reported("failed to start: the command vllm-of-nobody was not found on PATH; install it")
    assert bed.reports[0].endswith("restarting in 1s")
    assert replica.process is None


async def test_a_vendor_that_refuses_is_a_failed_start(bed: Bed) -> None:
    def refuses(devices: Sequence[str], port: int) -> Launch:
        raise HearthError("vendor 'acme' has no driver", "install it")

    bed.start(refuses)
    await bed.reported("failed to start: vendor 'acme' has no driver; install it; restarting in 1s")


async def test_a_start_that_takes_too_long_is_stopped(bed: Bed) -> None:
    bed.start(command(sys.executable, "-c", SERVES, startup=0.2))
    await bed.reported("did not start within 200ms (startup probe)")  # and its last words, if it had time for any
    await bed.reported("; restarting")


async def test_draining_waits_for_requests_and_then_for_the_process(bed: Bed) -> None:
    replica = bed.start(command(sys.executable, "-c", SERVES))
    await until(lambda: replica.process is not None, "the process runs")
    idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    leaving = asyncio.create_task(replica.leave(idle))
    await asyncio.sleep(0)
    assert (replica.leaving, replica.gone) == (True, False)
    idle.set_result(None)
    async with asyncio.timeout(10):
        await leaving
    assert replica.gone
    assert bed.reports == []


async def test_requests_that_outlast_the_drain_are_aborted(bed: Bed) -> None:
    replica = bed.start(command(sys.executable, "-c", SERVES), drain_timeout=0.05)
    await until(lambda: replica.process is not None, "the process runs")
    async with asyncio.timeout(10):
        await replica.leave(asyncio.get_running_loop().create_future())
    assert bed.reports == ["still has requests in flight after 50ms (spec.scaling.drainTimeout); aborting them"]
