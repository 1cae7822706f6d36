"""Control socket: how `hearth get`, `scale` and `wake` talk to the `hearth up` of a state directory.

A connection carries one request and one answer, each one line of JSON. A request is {"do": NAME, ...}; an answer is
{"ok": VALUE} or {"error": MESSAGE, "remedy": TEXT}. The socket is private, in a private directory. The client is remote.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hearth.api.errors import HearthError
from hearth.local.supervisor import Supervisor

LIMIT = 1024 * 1024
"""Bytes of one line."""
REQUEST_TIMEOUT = 5.0
"""Seconds that a client has to send its request."""
SAME_VERSION = "use the `hearth` of the same version"


class ControlServer:
    """Server of one supervisor's socket."""

    def __init__(self, supervisor: Supervisor, path: Path) -> None:
        self._supervisor = supervisor
        self._path = path
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[Any]] = set()
        self._actions: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[object]]] = {
            "get": self._get,
            "scale": self._scale,
            "wake": self._wake,
        }

    async def start(self) -> None:
        """Listen. The caller holds the lock, so an existing socket is a stale one."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LIMIT)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Close the socket and every connection, those of waiting clients included."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            answer = await self._answer(reader)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            return  # the client left, or `hearth up` is stopping
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Mapping[str, object]:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = json.loads(await reader.readuntil(b"\n"))
            action = self._actions[request["do"]]
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return {"error": "incomplete request", "remedy": f"send one line of JSON within {REQUEST_TIMEOUT:g} s"}
        except (ValueError, KeyError, TypeError):
            return {"error": "unknown request", "remedy": f"known are {', '.join(self._actions)}; {SAME_VERSION}"}
        try:
            return {"ok": await _unless_gone(reader, action(request))}
        except HearthError as error:
            return {"error": error.message, "remedy": error.remedy}

    async def _get(self, request: Mapping[str, Any]) -> object:
        return [asdict(view) for view in self._supervisor.views()]

    async def _scale(self, request: Mapping[str, Any]) -> object:
        name, replicas = _field(request, "name", str), _field(request, "replicas", int)
        seconds = None if request.get("seconds") is None else _field(request, "seconds", int, float)
        return self._supervisor.scale(name, replicas, seconds)

    async def _wake(self, request: Mapping[str, Any]) -> object:
        name = _field(request, "name", str)
        self._supervisor.wake(name)
        return asdict(await self._supervisor.settled(name)) if request.get("wait") else None


def _field(request: Mapping[str, Any], name: str, *kinds: type) -> Any:
    if type(request.get(name)) not in kinds:
        raise HearthError(f"missing or invalid field {name!r}", SAME_VERSION)
    return request[name]


async def _unless_gone(reader: asyncio.StreamReader, action: Awaitable[object]) -> object:
    """Await the action, unless the client leaves first: `hearth wake --wait` may be interrupted."""
    work = asyncio.ensure_future(action)
    left = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ConnectionResetError
        return await work
    finally:
        work.cancel()
        left.cancel()
        await asyncio.gather(work, left, return_exceptions=True)
