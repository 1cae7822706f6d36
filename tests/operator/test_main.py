"""`hearth operator` as a process, against the API server in memory over HTTP."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp.test_utils import TestServer

from hearth.operator.kubernetes.kinds import DEPLOYMENT, INFERENCE_RUNTIME, LEASE, LLM_SERVICE, POD, Kind
from hearth.operator.watch.kopf_watch import WATCHED, build_settings
from hearth.operator.watch.resync import APART
from tests.operator.harness import manifest, runtime_manifest
from tests.support import waiting
from tests.support.fake_api import FakeApi
from tests.support.fake_api_server import HttpApi

PATIENCE = 30.0


until = partial(waiting.until, seconds=PATIENCE, interval=0.02)


class Process:
    """One replica of the operator."""

    def __init__(self, kubeconfig: Path, name: str) -> None:
        self._kubeconfig = kubeconfig
        self.name = name
        self.log = ""

    async def start(self, *options: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-c",
                "from hearth.cli import main; main()",
                "operator",
                "--listen",
                "127.0.0.1:0",
                *options,
            ),
            env={**os.environ, "KUBECONFIG": str(self._kubeconfig), "POD_NAME": self.name, "POD_NAMESPACE": "sys"},
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        await until(lambda: "on port" in self.log, "the server of the operator")

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log += line.decode()

    async def get(self, path: str) -> tuple[int, str]:
        port = re.search(r"on port (\d+)", self.log)
        assert port is not None
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port[1]}{path}") as response,
        ):
            return response.status, await response.text()

    async def answers(self, path: str) -> bool:
        return await self.get(path) == (200, "ok\n")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self) -> int:
        """Return the exit code, once it has ended; the test fails when it does not."""
        async with asyncio.timeout(PATIENCE):
            code = await self._process.wait()
        await self._reading
        return code

    async def clean_up(self) -> None:
        print(self.log)  # for whoever reads why a test failed
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await self._reading


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def served(api: FakeApi, tmp_path: Path) -> AsyncIterator[tuple[HttpApi, Path]]:
    http = HttpApi(api)
    server = TestServer(http.app)
    await server.start_server(shutdown_timeout=0.1)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": str(server.make_url("")).rstrip("/")}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield http, path
    await server.close()


@pytest.fixture
async def process(served: tuple[HttpApi, Path]) -> AsyncIterator[Process]:
    process = Process(served[1], "one")
    yield process
    await process.clean_up()


async def test_it_applies_a_service_and_ends_within_seconds(
    api: FakeApi, served: tuple[HttpApi, Path], process: Process
) -> None:
    api.put_whole(INFERENCE_RUNTIME, runtime_manifest())
    await process.start()
    await until(lambda: served[0].watches >= {kind.plural for kind in WATCHED}, "all watches")
    await until(lambda: process.answers("/readyz"), "readiness")
    api.put_whole(LLM_SERVICE, manifest())
    await until(lambda: api.has(DEPLOYMENT, "ns", "m"), "the objects of the service")
    await until(lambda: "status" in api.wire(LLM_SERVICE, "ns", "m"), "its status")
    assert await process.get("/healthz") == (200, "ok\n")
    _, metrics = await process.get("/metrics")
    assert 'hearth_operator_services{phase="Pending"} 1.0' in metrics
    assert "hearth_operator_leader 1.0" in metrics

    began = time.monotonic()
    process.signal(signal.SIGTERM)
    assert await process.end() == 0
    assert time.monotonic() - began < 10
    assert "Traceback" not in process.log


async def test_kopf_writes_nothing(api: FakeApi, served: tuple[HttpApi, Path], process: Process) -> None:
    api.put_whole(INFERENCE_RUNTIME, runtime_manifest())
    await process.start()
    api.put_whole(LLM_SERVICE, manifest())
    await until(lambda: "status" in api.wire(LLM_SERVICE, "ns", "m"), "the status")
    metadata = api.wire(LLM_SERVICE, "ns", "m")["metadata"]
    assert {"finalizers", "annotations"}.isdisjoint(metadata)
    assert {manager["manager"] for manager in metadata["managedFields"]} == {"kubectl"}


async def test_only_what_is_hearths_is_asked_for(api: FakeApi, served: tuple[HttpApi, Path], process: Process) -> None:
    await process.start()
    await until(lambda: served[0].watches >= {kind.plural for kind in WATCHED}, "all watches")
    for kind in (DEPLOYMENT, POD):
        assert served[0].selector(kind) == "app.kubernetes.io/managed-by=hearth"
    assert served[0].selector(LLM_SERVICE) == ""


async def test_a_watch_that_fails_ends_the_process_with_its_cause(
    api: FakeApi, served: tuple[HttpApi, Path], process: Process
) -> None:
    await process.start()
    await until(lambda: served[0].watches >= {kind.plural for kind in WATCHED}, "all watches")
    served[0].break_watches()
    assert await process.end() == 1
    assert "the watch cache is broken" in process.log


async def test_what_was_deleted_before_watches_started_anew_is_found_at_once(
    api: FakeApi, served: tuple[HttpApi, Path], process: Process
) -> None:
    """A watch of kopf lists again after a 410, and says nothing of what is not in the list any more."""
    api.put_whole(INFERENCE_RUNTIME, runtime_manifest())
    api.put_whole(LLM_SERVICE, manifest())
    await process.start()
    await until(lambda: served[0].watches >= {kind.plural for kind in WATCHED}, "all watches")
    await until(lambda: "status" in api.wire(LLM_SERVICE, "ns", "m"), "the status")
    await asyncio.sleep(APART + 1)
    api.remove(DEPLOYMENT, "ns", "m", silently=True)
    served[0].break_watches(410, "too old resource version")
    await until(lambda: api.has(DEPLOYMENT, "ns", "m"), "the Deployment")
    assert "Deployment ns/m was deleted but no watch event arrived" in process.log


async def test_a_watch_that_is_refused_is_tried_again_and_again_and_logged(
    api: FakeApi, served: tuple[HttpApi, Path], process: Process
) -> None:
    served[0].forbidden.add(POD)
    await process.start()
    await until(lambda: process.log.count("you may not") > 1, "two tries")
    assert "/api/v1/pods?watch=true" in process.log
    served[0].forbidden.clear()
    await until(lambda: served[0].watches >= {kind.plural for kind in WATCHED}, "all watches")


def test_an_api_server_that_is_away_is_asked_for_as_long_as_it_takes() -> None:
    """All of kopf's own patience is 54 s, with pauses of up to 21 s that nothing interrupts."""
    pauses = build_settings().networking.error_backoffs
    assert isinstance(pauses, Iterable)
    for _ in range(2):
        assert sum(islice(pauses, 1000)) > 1000
        assert max(islice(pauses, 1000)) <= 2


async def test_the_second_replica_takes_over_when_the_first_one_stops(
    api: FakeApi, served: tuple[HttpApi, Path], process: Process
) -> None:
    second = Process(served[1], "two")
    try:
        await process.start("--leader-elect")
        await until(lambda: "Leading as one" in process.log, "a leader")
        await second.start("--leader-elect")
        assert await second.get("/readyz") == (200, "ok\n")
        process.signal(signal.SIGTERM)
        assert await process.end() == 0
        began = time.monotonic()
        await until(lambda: "Leading as two" in second.log, "the next leader")
        assert time.monotonic() - began < 10, "it waited for the lease to expire"
        assert api.wire(LEASE, "sys", "hearth-operator")["spec"]["holderIdentity"] == "two"
    finally:
        await second.clean_up()


async def test_a_leader_that_lost_its_lease_ends(api: FakeApi, served: tuple[HttpApi, Path], process: Process) -> None:
    await process.start("--leader-elect")
    await until(lambda: "Leading as one" in process.log, "a leader")
    wire = api.wire(LEASE, "sys", "hearth-operator")
    api.put(LEASE, {**wire, "spec": {**wire["spec"], "holderIdentity": "two"}})
    assert await process.end() == 1
    assert "Lost the lease to another replica" in process.log
    assert api.wire(LEASE, "sys", "hearth-operator")["spec"]["holderIdentity"] == "two"


async def test_a_standby_ends_within_seconds(api: FakeApi, served: tuple[HttpApi, Path], process: Process) -> None:
    second = Process(served[1], "two")
    try:
        await process.start("--leader-elect")
        await until(lambda: "Leading as one" in process.log, "a leader")
        await second.start("--leader-elect")
        second.signal(signal.SIGTERM)
        assert await second.end() == 0
    finally:
        await second.clean_up()


async def test_a_lease_that_was_won_while_the_process_was_told_to_end_is_given_back(
    api: FakeApi, served: tuple[HttpApi, Path], process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = api.create

    async def created_too_late(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        answer = await create(kind, body, **how)
        process.signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        return answer

    monkeypatch.setattr(api, "create", created_too_late)
    await process.start("--leader-elect")
    assert await process.end() == 0
    assert api.wire(LEASE, "sys", "hearth-operator")["spec"]["holderIdentity"] == ""
