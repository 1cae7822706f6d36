"""`hearth-gateway --config-map NAME`: the process, its addresses, its signals."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway.cluster.harness import Keda
from tests.gateway.cluster.watch_server import WatchServer, pod
from tests.gateway.support import Program, Wire, answer, get, post
from tests.support.ports import HOST, free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

Run = Callable[..., Awaitable[Program]]


@pytest_asyncio.fixture(loop_scope="session")
async def run(api: WatchServer, tmp_path: Path) -> Any:
    """Provide a function that starts a replica as a process of its own, which is gone after the test."""
    programs: list[Program] = []

    async def starter(*argv: str) -> Program:
        access = ["--api-server", api.url, "--namespace", "ns"]
        config = ["--config-map", "hearth-gateway", "--scaler-listen", f"{HOST}:{free_port()}"]
        log = tmp_path / f"{len(programs)}.log"
        command = [sys.executable, "-m", "hearth_gateway", "--listen", ":0", *config, *access, *argv]
        with log.open("wb") as output:
            program = Program(subprocess.Popen(command, stdout=output, stderr=output), log)
        programs.append(program)
        line = await program.logged("Listening on ")
        program.port = int(line.partition("Listening on ")[2].rpartition(":")[2].partition(",")[0])
        return program

    yield starter
    for program in programs:
        program.close()
        for wire in program.wires:
            wire.abort()


async def ask(process: Program, request: bytes, host: str = HOST) -> Any:
    reader, writer = await asyncio.open_connection(host, process.port)
    wire = Wire(reader, writer)
    process.wires.append(wire)
    wire.send(request)
    return await wire.answer()


async def test_a_replica(run: Run, api: WatchServer, listen: Any) -> None:
    """From its start to its end: ready, held, demanded, stopped, answered, gone."""
    port = free_port()
    process = await run("--scaler-listen", f":{port}", "--grace", "20")
    await process.logged("Ready: 1 services")
    assert (await ask(process, get("/readyz"))).status == 200
    keda = Keda(port)
    stream = keda.stream("m")
    assert await stream.next() is False
    asked = asyncio.create_task(ask(process, post()))
    assert await stream.next() is True
    assert await keda.value("m") == 1
    process.popen.terminate()
    await process.logged("Stopping")
    assert await stream.next() is None
    assert (await ask(process, get("/readyz"))).status == 503
    late = Keda(port)
    assert await late.is_active("m")
    backend = await listen(answer())
    await api.slice("m-backend", pod(ready=False), port=backend.port)
    assert (await asked).json == {"ok": True}
    assert await process.wait() == 0
    for each in (keda, late):
        await each.channel.close()
    assert "Traceback" not in process.log.read_text()
    assert "Error" not in process.log.read_text()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_every_address(run: Run) -> None:
    port = free_port()
    process = await run("--scaler-listen", f":{port}")
    await process.logged("Ready")
    for host in ("127.0.0.1", "::1"):
        assert (await ask(process, get("/readyz"), host)).status == 200
        keda = Keda(port, f"[{host}]" if ":" in host else host)
        assert await keda.is_active("m") is False
        await keda.channel.close()


async def test_a_kill_is_seen_at_once(run: Run) -> None:
    process = await run()
    await process.logged("Ready")
    asked = asyncio.create_task(ask(process, post()))
    while not (await ask(process, get("/m/hearth/queue"))).json["held"]:
        await asyncio.sleep(0.01)
    process.popen.kill()
    with pytest.raises((asyncio.IncompleteReadError, OSError)):
        await asked
