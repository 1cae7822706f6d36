"""``hearth-gateway --config-map NAME``: the process, its flags, its signals, and what local mode does not load."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ..support import HOST, Program, Wire, answer, get, post
from .api import FakeApi, pod
from .replica import Keda

Run = Callable[..., Awaitable[Program]]


@pytest.fixture
async def run(api: FakeApi, tmp_path: Path) -> Any:
    """await run(*argv) -> a replica of its own process; gone after the test."""
    programs: list[Program] = []

    async def starter(*argv: str) -> Program:
        access = ["--api-server", api.url, "--namespace", "ns"]
        config = ["--config-map", "hearth-gateway", "--scaler-listen", f"{HOST}:{free_port()}"]
        log = tmp_path / f"{len(programs)}.log"
        command = [sys.executable, "-m", "hearth_gateway", "--listen", ":0", *config, *access, *argv]
        with log.open("wb") as output:
            program = Program(subprocess.Popen(command, stdout=output, stderr=output), log)
        programs.append(program)
        line = await program.logged("listening on ")
        program.port = int(line.partition("listening on ")[2].rpartition(":")[2].partition(",")[0])
        return program

    yield starter
    for program in programs:
        program.close()
        for wire in program.wires:
            wire.abort()


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port = found.getsockname()[1]
    assert isinstance(port, int)
    return port


async def ask(process: Program, request: bytes, host: str = HOST) -> Any:
    reader, writer = await asyncio.open_connection(host, process.port)
    wire = Wire(reader, writer)
    process.wires.append(wire)
    wire.send(request)
    return await wire.answer()


async def test_a_replica(run: Run, api: FakeApi, listen: Any) -> None:
    """From its start to its end: ready, held, demanded, told to go, answered, gone."""
    port = free_port()
    process = await run("--scaler-listen", f":{port}", "--grace", "20")
    await process.logged("ready: 1 services")
    assert (await ask(process, get("/readyz"))).status == 200
    keda = Keda(port)
    stream = keda.stream("m")
    assert await stream.next() is False
    asked = asyncio.create_task(ask(process, post()))
    assert await stream.next() is True
    assert await keda.value("m") == 1
    process.popen.terminate()
    await process.logged("stopping")
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
    await process.logged("ready")
    for host in ("127.0.0.1", "::1"):
        assert (await ask(process, get("/readyz"), host)).status == 200
        keda = Keda(port, f"[{host}]" if ":" in host else host)
        assert await keda.is_active("m") is False
        await keda.channel.close()


async def test_a_kill_is_seen_at_once(run: Run) -> None:
    process = await run()
    await process.logged("ready")
    asked = asyncio.create_task(ask(process, post()))
    while not (await ask(process, get("/m/hearth/queue"))).json["held"]:
        await asyncio.sleep(0.01)
    process.popen.kill()
    with pytest.raises((asyncio.IncompleteReadError, OSError)):
        await asked


def fails(*argv: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "hearth_gateway", *argv]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        ([], 2, "--config --config-map"),
        (["--config", "x", "--config-map", "y"], 2, "not allowed with"),
        (["--config-map", "x"], 1, "give --api-server"),
        (["--config-map", "x", "--api-server", "http://api"], 1, "clear text"),
        (["--config-map", "x", "--scaler-listen", "here"], 2, "--scaler-listen: 'here' is not HOST:PORT"),
        (
            ["--config-map", "x", "--api-server", "http://localhost:1", "--namespace", "n", "--listen", "127.0.0.1:0",
             "--scaler-listen", "192.0.2.1:9"],
            1,
            "give another --scaler-listen",
        ),
    ],
)  # fmt: skip
def test_bad_arguments(argv: list[str], code: int, words: str) -> None:
    found, text = fails(*argv)
    assert (found, words in text) == (code, True), text


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_local_mode_loads_nothing_of_the_cluster() -> None:
    loaded = python("import sys, hearth_gateway.__main__; print(*sys.modules)").split()
    assert "hearth_gateway.gateway" in loaded
    for module in ("grpc", "google.protobuf", "aiohttp", "hearth_gateway.cluster"):
        assert module not in loaded


def test_the_extra_is_named_when_it_is_missing() -> None:
    program = (
        "import sys; sys.modules['grpc'] = None\n"
        "from hearth_gateway.__main__ import main\n"
        "sys.stderr = sys.stdout\n"
        "print(main(['--config-map', 'x']))"
    )
    text = python(program)
    assert "install hearth-gateway[cluster]" in text
    assert text.endswith("1\n")


def test_the_messages_are_those_of_the_protos(tmp_path: Path) -> None:
    """``make protos`` was run after the last change."""
    import hearth_gateway.rpc as rpc

    [folder] = map(Path, rpc.__path__)
    protos = sorted(folder.glob("*.proto"))
    assert protos
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}",
         *map(str, protos)],
        check=True,
    )  # fmt: skip
    for written in sorted(tmp_path.iterdir()):
        assert written.read_text() == (folder / written.name).read_text(), f"{written.name}: run make protos"
