"""Control socket: requests, answers, and clients that leave. The client is the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hearth.api.errors import HearthError
from hearth.local.control import ControlServer
from hearth.local.remote import call, is_running
from hearth.local.state import StateDir
from hearth.local.views import ServiceView

VIEW = ServiceView("qwen", "ai", "Ready", "", "vllm-fake", 1, 1, 0, 0, 1.5)


class Supervisor:
    """Plays the supervisor: keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.settling = asyncio.Event()
        self.left = asyncio.Event()

    def views(self) -> tuple[ServiceView, ...]:
        return (VIEW,)

    def scale(self, name: str, replicas: int, duration: float | None) -> str:
        self.asked.append((name, replicas, duration))
        if replicas > 2:
            raise HearthError("too many", "ask for fewer")
        return "done"

    def wake(self, name: str) -> None:
        self.asked.append((name,))

    async def settled(self, name: str) -> ServiceView:
        self.settling.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return VIEW


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


@pytest.fixture
async def state(tmp_path: Path, supervisor: Supervisor) -> AsyncIterator[StateDir]:
    directory = StateDir(tmp_path)
    directory.create()
    server = ControlServer(supervisor, directory.socket_path())  # type: ignore[arg-type]
    with directory.locked("127.0.0.1:8080"):
        await server.start()
        yield directory
        await server.stop()
    assert not directory.socket_path().exists()


async def ask(state: StateDir, request: dict[str, Any]) -> Any:
    return await asyncio.to_thread(call, state, request)


async def test_the_views_of_all_services(state: StateDir) -> None:
    [view] = await ask(state, {"do": "get"})
    assert (view["name"], view["phase"], view["age"], view["replicas"]) == ("qwen", "Ready", 1.5, [])
    assert await asyncio.to_thread(is_running, state)


async def test_a_time_is_optional(state: StateDir, supervisor: Supervisor) -> None:
    assert await ask(state, {"do": "scale", "name": "qwen", "replicas": 2}) == "done"
    assert await ask(state, {"do": "scale", "name": "qwen", "replicas": 2, "seconds": 60}) == "done"
    assert supervisor.asked == [("qwen", 2, None), ("qwen", 2, 60)]


async def test_an_error_arrives_with_its_remedy(state: StateDir) -> None:
    with pytest.raises(HearthError, match="too many; ask for fewer"):
        await ask(state, {"do": "scale", "name": "qwen", "replicas": 3})


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"do": "explode"}, "unknown request; known are get, scale, wake; use the `hearth` of the same version"),
        ({"do": "scale", "name": "qwen"}, "missing or invalid field 'replicas'; use the `hearth` of the same version"),
        ({"do": "scale", "name": "qwen", "replicas": "2"}, "missing or invalid field 'replicas'"),
        ({"do": "scale", "name": "qwen", "replicas": True}, "missing or invalid field 'replicas'"),
        ({"do": "wake", "name": 1}, "missing or invalid field 'name'"),
    ],
)
async def test_a_request_of_another_version_is_refused(
    state: StateDir, supervisor: Supervisor, request_: dict[str, Any], problem: str
) -> None:
    with pytest.raises(HearthError) as caught:
        await ask(state, request_)
    assert problem in str(caught.value)
    assert supervisor.asked == []


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"do": ["get"]}\n', b'{"do": "get"}', b""])
async def test_what_is_no_request_is_refused(state: StateDir, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(state.socket_path())
    writer.write(line)
    writer.write_eof()
    answer = json.loads(await reader.readline())
    assert answer["error"] in ("unknown request", "incomplete request")
    assert answer["remedy"]
    writer.close()


async def test_waiting_stops_when_the_client_leaves(state: StateDir, supervisor: Supervisor) -> None:
    _, writer = await asyncio.open_unix_connection(state.socket_path())
    writer.write(b'{"do": "wake", "name": "qwen", "wait": true}\n')
    async with asyncio.timeout(10):
        await supervisor.settling.wait()
        writer.close()
        await supervisor.left.wait()


async def test_the_socket_is_private(state: StateDir) -> None:
    assert state.socket_path().stat().st_mode & 0o777 == 0o600
