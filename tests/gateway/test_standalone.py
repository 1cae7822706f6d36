"""`hearth-gateway --config FILE`: the process, its services file, its signals."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.gateway.support import (
    DONE,
    HOST,
    LAST,
    SSE_HEAD,
    Backend,
    Call,
    Handler,
    Program,
    answer,
    body,
    chunk,
    event,
    get,
    plays,
    post,
)

Run = Callable[..., Awaitable[Program]]


def table(*services: dict[str, Any]) -> str:
    return json.dumps({"services": services})


def served(port: int, name: str = "m", **more: Any) -> dict[str, Any]:
    return {"name": name, "endpoints": [{"address": HOST, "port": port}], **more}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    found = tmp_path / "services.yaml"
    found.write_text(table({"name": "m"}))
    return found


@pytest.fixture
async def run(config: Path) -> AsyncIterator[Run]:
    """Yield a function that starts the program with these arguments; it stops after the test."""
    programs: list[Program] = []

    async def starter(*argv: str) -> Program:
        programs.append(await Program.start(config, *argv))
        return programs[-1]

    yield starter
    for program in programs:
        program.close()
        for wire in program.wires:
            wire.abort()


@pytest.fixture
async def listen() -> AsyncIterator[Callable[..., Any]]:
    """Yield a function that starts a Backend with a handler; it stops after the test."""
    started: list[Backend] = []

    async def starter(handler: Handler) -> Backend:
        started.append(Backend(handler))
        await started[-1].listen()
        return started[-1]

    yield starter
    for backend in started:
        backend.kill()


async def ask(process: Program, request: bytes) -> Any:
    wire = await process.connect()
    try:
        wire.send(request)
        return await wire.answer()
    finally:
        await wire.close()


async def test_it_serves_its_file(run: Run, config: Path, listen: Any) -> None:
    found = await listen(plays(answer()))
    config.write_text(table(served(found.port)))
    process = await run()
    assert (await ask(process, post())).json == {"ok": True}
    assert (await ask(process, get("/readyz"))).status == 200


async def test_the_file_is_read_again(run: Run, config: Path, listen: Any) -> None:
    """Add, change, break, repair, remove, replace: a bad file changes nothing, a request in flight goes on."""
    go = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.read_body()
        call.send(SSE_HEAD + chunk(event("a")))
        await go.wait()
        call.send(chunk(event("b")) + chunk(DONE) + LAST)

    slow, quick = await listen(handler), await listen(plays(answer()))
    config.write_text(table(served(slow.port)))
    process = await run()
    stream = await process.connect()
    stream.send(post(content=body(stream=True)))
    await stream.head()
    while (piece := await stream.chunk()).startswith(b":"):
        pass  # the address of the file is probed first
    assert piece == event("a")

    config.write_text(table(served(slow.port), served(quick.port, "n", aliases=["nick"])))
    assert "m, n" in await process.logged("Applied the services file")
    assert (await ask(process, post(content=body(model="nick")))).status == 200

    for bad in (
        "services: [",
        table({"name": "m", "naem": "x"}),
        "[]",
        table({"name": ""}),
        "services: 2001-99-99",
        "\x00",
    ):
        config.write_text(bad)
        assert str(config) in await process.logged("Failed to reload the services file")
        assert (await ask(process, post(content=body(model="n")))).status == 200
    config.unlink()
    assert str(config) in await process.logged("Failed to reload the services file")

    replacement = config.with_suffix(".new")
    replacement.write_text(table(served(quick.port, "n")))
    replacement.replace(config)
    assert "file: n" in await process.logged("Applied the services file")
    for model in ("m", "nick"):
        assert (await ask(process, post(content=body(model=model)))).status == 404
    go.set()
    assert await stream.until(LAST) in (chunk(event("b") + DONE) + LAST, chunk(event("b")) + chunk(DONE) + LAST)
    await stream.close()


async def test_sigterm_lets_requests_end(run: Run, config: Path, listen: Any) -> None:
    go, arrived = asyncio.Event(), asyncio.Event()

    async def handler(call: Call) -> None:
        await call.read_body()
        arrived.set()
        await go.wait()
        call.send(answer())

    found = await listen(handler)
    config.write_text(table(served(found.port)))
    process = await run("--grace", "10")
    asked = asyncio.create_task(ask(process, post()))
    await arrived.wait()
    process.popen.terminate()
    await process.logged("Stopping")
    with pytest.raises(OSError):
        await process.connect()
    assert process.popen.poll() is None
    go.set()
    assert (await asked).json == {"ok": True}
    assert await process.wait() == 0


@pytest.mark.parametrize("signal_", ["terminate", "interrupt"])
async def test_the_grace_ends(signal_: str, run: Run) -> None:
    process = await run("--grace", "0.2")
    wires = [await process.connect() for _ in range(3)]
    wires[0].send(post(content=body(stream=True)))
    wires[1].send(post())
    await wires[0].head()
    begun = monotonic()
    if signal_ == "terminate":
        process.popen.terminate()
    else:
        process.popen.send_signal(2)
    refused = await wires[1].answer()
    assert (refused.status, refused.reason) == (503, "stopping")
    seen = await wires[0].rest()
    assert b'data: {"error"' in seen
    assert seen.endswith(LAST)
    assert await process.wait() == 0
    assert monotonic() - begun < 3
    for wire in wires:
        await wire.close()


async def test_a_second_signal_cuts_off_what_runs(run: Run) -> None:
    process = await run("--grace", "600")
    wire = await process.connect()
    wire.send(post(content=body(stream=True)))
    await wire.head()
    process.popen.send_signal(signal.SIGHUP)
    await process.logged("Stopping")
    begun = monotonic()
    process.popen.send_signal(signal.SIGINT)
    assert b'data: {"error"' in await wire.rest()
    assert await process.wait() == 0
    assert monotonic() - begun < 5
    await wire.close()


def fails(*argv: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "hearth_gateway", *argv], capture_output=True, text=True, timeout=20, check=False
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def test_an_occupied_port(config: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        listen = f"{HOST}:{other.getsockname()[1]}"
        code, text = fails("--config", str(config), "--listen", listen)
    assert code == 1
    assert listen in text
    assert "in use" in text
    assert "--listen" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["No such file"]),
        ("services: [", ["not YAML"]),
        ("", ["it is empty; write a mapping with the key 'services'"]),
        ("- name: m", ["found a list"]),
        ("hello", ["only the value 'hello'"]),
        ("services: 2001-99-99", []),
        (table({"name": "m", "replicas": 2}), ["replicas"]),
        (table({"name": "m"}, {"name": "m"}), ["'m'"]),
    ],
)
def test_a_bad_file(content: str | None, words: list[str], config: Path) -> None:
    if content is None:
        config.unlink()
    else:
        config.write_text(content)
    code, text = fails("--config", str(config), "--listen", f"{HOST}:0")
    assert code == 2
    assert text.startswith("error: ")
    for word in [str(config), *words]:
        assert word in text


def test_a_grace_that_is_none(config: Path) -> None:
    for grace in ("-1", "nan"):
        code, text = fails("--config", str(config), "--grace", grace)
        assert (code, f"--grace: {grace!r} is not a time" in text) == (2, True)


@pytest.mark.parametrize("listen", ["nope", "192.0.2.1:0", "127.0.0.1:99999", "no.such.host.invalid:0"])
def test_a_bad_address(listen: str, config: Path) -> None:
    code, text = fails("--config", str(config), "--listen", listen)
    assert code in (1, 2)
    assert listen in text
