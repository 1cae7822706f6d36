"""Start, signals, idle connections: the process as a supervisor and a gateway see it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from time import monotonic
from typing import Any

import aiohttp
import pytest

from tests.stub.support import CHAT, Stub, content, events
from tests.support.ports import free_port

STREAM = {**CHAT, "stream": True}


async def first_text(response: aiohttp.ClientResponse, mark: bytes) -> bytes:
    seen = b""
    async for data in response.content.iter_any():
        seen += data
        if mark in seen:
            return seen
    raise AssertionError(f"the stream ended without {mark!r}: {seen!r}")


async def state(http: aiohttp.ClientSession, stub: Stub) -> dict[str, Any]:
    async with http.get(stub.url + "/control") as response:
        return dict(await response.json())


async def test_connections_are_refused_until_it_is_ready(start: Any, http: aiohttp.ClientSession) -> None:
    port = free_port()
    begun = monotonic()
    stub = start(f"--port={port}", env={"STUB_STARTUP_DELAY": "500ms"}, wait=False)
    assert stub.popen.stdout.readline().startswith("INFO vLLM API server version")  # it is bound now
    bound = monotonic()
    while monotonic() - bound < 0.3:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.02)
    stub.wait_started()
    assert monotonic() - begun >= 0.5
    async with http.get(f"http://127.0.0.1:{port}/health") as response:
        assert (response.status, await response.read()) == (200, b"")


def test_an_occupied_port_ends_it_with_a_remedy(start: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "vllm_stub", "m", "--host=127.0.0.1", f"--port={port}"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert ended.returncode == 2
    assert f"cannot bind 127.0.0.1:{port}: Address already in use" in ended.stderr
    assert "--port" in ended.stderr


def test_sigterm_during_start_ends_it_at_once(start: Any) -> None:
    stub = start(env={"STUB_STARTUP_DELAY": "1m"}, wait=False)
    assert stub.popen.stdout.readline().startswith("INFO vLLM API server version")
    begun = monotonic()
    stub.terminate()
    assert stub.popen.wait(5) == 143
    assert monotonic() - begun < 1


@pytest.mark.parametrize("style", ["error", "abort"])
async def test_sigterm_aborts_running_streams(style: str, start: Any, http: aiohttp.ClientSession) -> None:
    stub = start(env={"STUB_TOKEN_DELAY": "50ms", "STUB_SIGTERM": style})
    async with http.post(f"{stub.url}/v1/chat/completions?tokens=300", json=STREAM) as response:
        seen = await first_text(response, b"Hello")
        begun = monotonic()
        stub.terminate()
        seen += await response.read()
    last = events(seen.decode())[-2]
    if style == "error":
        assert last["error"]["message"].startswith("EngineCore encountered an issue.")
    else:
        assert last["choices"][0]["finish_reason"] == "abort"
    assert seen.endswith(b"data: [DONE]\n\n")
    assert stub.popen.wait(5) == 0
    assert monotonic() - begun < 2


async def test_shutdown_timeout_drains_while_accepting(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--shutdown-timeout=20", env={"STUB_TOKEN_DELAY": "20ms"})
    async with http.post(f"{stub.url}/v1/chat/completions?tokens=30", json=STREAM) as response:
        seen = await first_text(response, b"Hello")
        stub.terminate()
        for line in stub.popen.stdout:
            if "Draining" in line:
                break
        stub.terminate()  # a second one changes nothing
        async with aiohttp.ClientSession() as other, other.get(stub.url + "/health") as health:
            assert health.status == 200
        async with aiohttp.ClientSession() as other, other.post(stub.url + "/v1/chat/completions", json=CHAT) as late:
            assert (await late.json())["choices"][0]["finish_reason"] == "abort"
        seen += await response.read()
    assert content(seen.decode()).endswith(" 29")
    assert events(seen.decode())[-2]["choices"][0]["finish_reason"] == "stop"
    assert stub.popen.wait(5) == 0


async def test_shutdown_timeout_ends(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--shutdown-timeout", "1", env={"STUB_TOKEN_DELAY": "1m"})
    async with http.post(f"{stub.url}/v1/chat/completions?tokens=9", json=STREAM) as response:
        await first_text(response, b"Hello")
        begun = monotonic()
        stub.terminate()
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
    assert stub.popen.wait(5) == 0
    assert 1 <= monotonic() - begun < 3


async def test_sigterm_does_not_wait_for_what_hangs(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start()
    request = asyncio.create_task(
        http.post(stub.url + "/v1/chat/completions", json=CHAT, headers={"X-Stub-Fault": "hang-headers"})
    )
    while (await state(http, stub))["open"] != 1:
        await asyncio.sleep(0.01)
    stub.terminate()
    with pytest.raises(aiohttp.ClientError):
        await request
    assert stub.popen.wait(5) == 0


async def test_a_client_that_leaves_counts_as_an_abort(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start(env={"STUB_TOKEN_DELAY": "1m"})
    async with http.post(f"{stub.url}/v1/chat/completions?tokens=9", json=STREAM) as response:
        await first_text(response, b"Hello")
        assert (await state(http, stub))["running"] == 1
        response.close()
    while (await state(http, stub))["running"]:
        await asyncio.sleep(0.01)
    async with http.get(stub.url + "/metrics") as response:
        text = await response.text()
    assert 'vllm:request_success_total{engine="0",finished_reason="abort",model_name="tiny"} 1.0' in text


async def test_idle_connections_are_closed(start: Any) -> None:
    stub = start(env={"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "0.2"})
    host, port = stub.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.readuntil(b"\r\n\r\n")
    begun = monotonic()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert await reader.read() == b""
    assert 0.1 < monotonic() - begun < 5
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def test_help_is_quick_to_load() -> None:
    code = "import sys; sys.argv[1:] = ['--help']; import vllm_stub.__main__ as m; m.main(); print('aiohttp' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert ended.stdout.startswith("usage: vllm-stub")
    assert ended.stdout.endswith("False\n")


def test_a_bad_flag_is_explained() -> None:
    argv = [sys.executable, "-m", "vllm_stub", "m", "--port=x"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "vllm-stub: error: --port: 'x' cannot be used; give a whole number\n"
