"""A gateway in the test's event loop, backends that send exact bytes, and clients that read them.

Everything speaks TCP on loopback. A test describes one side byte by byte and checks what the other side gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hearth_gateway import Endpoint, Gateway, GatewayLimits, parse_services
from tests.support.waiting import DEADLINE, until

HOST = "127.0.0.1"
CHAT = "/v1/chat/completions"
DONE = b"data: [DONE]\n\n"


def body(*, stream: bool = False, model: str | None = "m", **more: Any) -> bytes:
    """Return a chat request."""
    document: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], **more}
    if model is not None:
        document["model"] = model
    if stream:
        document["stream"] = True
    return json.dumps(document).encode()


def post(path: str = CHAT, content: bytes | None = None, *headers: str, version: str = "1.1", host: str = "x") -> bytes:
    """Return a POST request; `headers` are whole lines."""
    content = body() if content is None else content
    lines = [f"POST {path} HTTP/{version}", f"Host: {host}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


def get(path: str, *headers: str, method: str = "GET", host: str = "x") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


def answer(content: bytes = b'{"ok":true}', *headers: str, status: str = "200 OK") -> bytes:
    """Return a unary answer of known length."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(text: str) -> bytes:
    """Return a chat chunk as vLLM streams it."""
    document = {"model": "m", "choices": [{"delta": {"content": text}}]}
    return b"data: " + json.dumps(document).encode() + b"\n\n"


# ---------------------------------------------------------------- the gateway


@dataclass
class Edge:
    """A gateway under test, with what a test needs to look into it."""

    gateway: Gateway
    failures: list[dict[str, Any]]
    wires: list[Wire] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.gateway.port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def serve(self, *services: Mapping[str, Any] | str) -> None:
        """Apply a table; a string is a service with that name and default settings."""
        entries = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in services]
        self.gateway.apply(parse_services({"services": entries}))

    def backends(self, *ports: int, name: str = "m", ready: bool = True) -> None:
        """Set the replicas of one service."""
        self.gateway.set_endpoints(name, [Endpoint(f"r{port}", HOST, port, ready=ready) for port in ports])

    async def connect(self) -> Wire:
        wire = await Wire.open(self.port)
        self.wires.append(wire)
        return wire

    async def ask(self, request: bytes) -> Answer:
        """One request on a connection of its own."""
        async with await self.connect() as wire:
            wire.send(request)
            return await wire.answer()

    async def held(self, count: int = 1, name: str = "m") -> None:
        """Wait until so many requests are held."""
        await until(lambda: self.gateway.stats(name).held == count, f"{count} held")

    async def settled(self) -> None:
        """Nothing is left of any request: no connection, no place in flight, no memory."""
        gateway = self.gateway
        await until(lambda: not gateway.connections, "connections are gone")
        assert gateway.budget.used == 0
        for service in gateway.services.values():
            assert service.in_flight == 0
            assert not service.held
            assert service.held_bytes == 0
            for backend in service.backends.values():
                assert backend.in_flight == 0
                assert len(set(map(id, backend.pool))) == len(backend.pool)
                for upstream in backend.pool:
                    assert upstream.client is None
                    assert upstream.status == 0


@contextlib.asynccontextmanager
async def running(limits: GatewayLimits | None = None, host: str = HOST) -> AsyncIterator[Edge]:
    """Yield a started gateway. Errors that only the event loop saw fail the test at its end."""
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: failures.append(context))
    edge = Edge(Gateway(limits), failures)
    await edge.gateway.start(host, 0)
    try:
        yield edge
        await edge.settled()
    finally:
        for wire in edge.wires:
            wire.abort()
        await asyncio.wait_for(edge.gateway.stop(0), DEADLINE)
        loop.set_exception_handler(None)
    assert not failures, failures


# ---------------------------------------------------------------- raw clients


@dataclass
class Answer:
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    complete: bool = True  # the framing says so; False: the connection ended before

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def reason(self) -> str | None:
        return self.headers.get("x-hearth-reason")

    @property
    def events(self) -> list[Any]:
        """Data of the events, parsed where it is JSON. Comments are left out."""
        found: list[Any] = []
        for block in self.body.replace(b"\r\n", b"\n").split(b"\n\n"):
            data = [line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")]
            if data:
                text = b"\n".join(data)
                found.append(json.loads(text) if text.startswith(b"{") else text.decode())
        return found

    @property
    def text(self) -> str:
        """The content of a chat stream."""
        chunks = [each for each in self.events if isinstance(each, dict) and each.get("choices")]
        return "".join(each["choices"][0]["delta"].get("content", "") for each in chunks)

    @property
    def failed(self) -> bool:
        """A client of OpenAI's library raises: an error event, an error status or a broken body."""
        if self.status >= 400 or not self.complete:
            return True
        return any(isinstance(each, dict) and "error" in each for each in self.events)


class Wire:
    """One TCP connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Wire:
        reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 24)
        return cls(reader, writer)

    async def __aenter__(self) -> Wire:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def abort(self) -> None:
        self.writer.transport.abort()

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`."""
        return await asyncio.wait_for(self.reader.readuntil(mark), DEADLINE)

    async def rest(self) -> bytes:
        """Everything until the connection ends; a reset ends it too."""
        seen = b""
        with contextlib.suppress(OSError):
            while data := await asyncio.wait_for(self.reader.read(1 << 20), DEADLINE):
                seen += data
        return seen

    async def head(self) -> Answer:
        """Status and headers of the next answer."""
        lines = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        assert lines[0].startswith("HTTP/1.1 "), lines[0]
        headers: dict[str, str] = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value.strip()
        return Answer(int(lines[0][9:12]), headers)

    async def chunk(self) -> bytes:
        """One chunk of the body; empty: the last."""
        size = int(await self.until(b"\r\n"), 16)
        data = await asyncio.wait_for(self.reader.readexactly(size + 2), DEADLINE)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def answer(self, *, head_only: bool = False) -> Answer:
        """Return the next answer, whole; interim ones are skipped."""
        found = await self.head()
        while found.status < 200:
            found = await self.head()
        headers = found.headers
        assert not ("content-length" in headers and "transfer-encoding" in headers)
        if head_only or found.status in (204, 304):
            return found
        parts: list[bytes] = []
        try:
            if headers.get("transfer-encoding") == "chunked":
                while data := await self.chunk():
                    parts.append(data)
            elif "content-length" in headers:
                size = int(headers["content-length"])
                parts.append(await asyncio.wait_for(self.reader.readexactly(size), DEADLINE))
            else:
                while data := await asyncio.wait_for(self.reader.read(1 << 20), DEADLINE):
                    parts.append(data)
        except asyncio.IncompleteReadError as error:
            parts.append(error.partial)
            found.complete = False
        except OSError:
            found.complete = False
        found.body = b"".join(parts)
        return found

    async def ended(self) -> bool:
        """Whether the gateway closed the connection without another byte."""
        return await self.rest() == b""


# ---------------------------------------------------------------- raw backends


class Call:
    """One connection as a backend sees it."""

    def __init__(self, backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.backend = backend
        self.reader = reader
        self.writer = writer
        self.head = b""
        self.body = b""

    @property
    def line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def read_head(self) -> bool:
        try:
            self.head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            return False
        self.body = b""
        return True

    async def read_body(self) -> None:
        sizes = [int(value) for name, value in self.headers if name == "content-length"]
        assert not any(name == "transfer-encoding" for name, _ in self.headers), "requests have a known length"
        assert len(sizes) <= 1
        if sizes:
            self.body = await self.reader.readexactly(sizes[0])

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def drain(self) -> None:
        await self.writer.drain()

    def close(self) -> None:
        """FIN."""
        self.writer.close()

    def abort(self) -> None:
        """RST."""
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait for the gateway to close its side."""
        with contextlib.suppress(OSError):
            assert await asyncio.wait_for(self.reader.read(1), DEADLINE) == b""


Handler = Callable[[Call], Awaitable[None]]


@dataclass
class Backend:
    """A server that a handler plays; `/health` is answered 200 without asking it."""

    handler: Handler
    server: asyncio.Server | None = None
    port: int = 0
    requests: list[str] = field(default_factory=list)  # request lines, probes left out
    probes: int = 0
    connections: int = 0
    healthy: bool = True
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def listen(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, HOST, port or self.port, limit=1 << 24)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        call = Call(self, reader, writer)
        try:
            while not writer.is_closing() and await call.read_head():
                if call.line.startswith("GET /health "):
                    self.probes += 1
                    call.send(answer(b"", status="200 OK" if self.healthy else "503 Service Unavailable"))
                    continue
                self.requests.append(call.line)
                await self.handler(call)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # asyncio's callback of such a task cannot take a CancelledError before Python 3.12
        finally:
            writer.close()

    async def stop_listening(self) -> None:
        assert self.server is not None
        self.server.close()

    def kill(self) -> None:
        """Stop listening and reset every connection, as a process that is killed."""
        if self.server is not None:
            self.server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()


def plays(*answers_: bytes, then: str = "keep") -> Handler:
    """Read a request, send pieces one by one; `then`: keep, close (FIN) or abort (RST)."""

    async def handler(call: Call) -> None:
        await call.read_body()
        for piece in answers_:
            call.send(piece)
            await call.drain()
            if len(answers_) > 1:
                await asyncio.sleep(0)  # its own read at the other side, most of the time; correct either way
        if then == "close":
            call.close()
        elif then == "abort":
            await asyncio.sleep(0.01)  # what was sent is read before the reset
            call.abort()

    return handler


def in_turn(*handlers: Handler) -> Handler:
    """Return a handler that gives the first request to the first one, and so on; the last stays."""
    rest = list(handlers)

    async def handler(call: Call) -> None:
        await (rest.pop(0) if len(rest) > 1 else rest[0])(call)

    return handler


def pieces(data: bytes, size: int = 1) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


# ---------------------------------------------------------------- processes


@dataclass
class Process:
    """A child with its output going to a pipe, read line by line."""

    popen: subprocess.Popen[str]
    url: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def read_until(self, mark: str) -> str:
        """Return the next line with `mark`, from its output."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            if mark in line:
                return line
        raise AssertionError(f"it ended with {self.popen.wait()} before {mark!r}")

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()


def start_stub(*argv: str, port: int = 0, env: Mapping[str, str] | None = None, wait: bool = True) -> Process:
    """Start a vllm-stub that serves the model `m`; tokens come without delay unless the test says otherwise."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("STUB_", "VLLM_"))}
    process = Process(
        subprocess.Popen(
            [sys.executable, "-m", "vllm_stub", "serve", "/models/m", "--served-model-name=m", f"--port={port}",
             "--host=127.0.0.1", "--disable-uvicorn-access-log", *argv],
            env={**clean, "STUB_TOKEN_DELAY": "0s", "STUB_TOKEN_COUNT": "8", **(env or {})},
            stdout=subprocess.PIPE,
            text=True,
        ),
        f"http://{HOST}:{port}",
    )  # fmt: skip
    if wait:
        process.url = process.read_until("Starting vLLM server on ").rpartition(" ")[2].strip()
    return process


@dataclass
class Program:
    """The stand-alone gateway as a process; its log is a file, so that nothing blocks on reading it."""

    popen: subprocess.Popen[bytes]
    log: Path
    port: int = 0
    read: int = 0  # characters of the log that were consumed
    wires: list[Wire] = field(default_factory=list)

    @classmethod
    async def start(cls, config: Path, *argv: str) -> Program:
        log = config.with_suffix(".log")
        command = [sys.executable, "-m", "hearth_gateway", "--config", str(config), "--listen", f"{HOST}:0", *argv]
        with log.open("wb") as output:
            program = cls(subprocess.Popen(command, stdout=output, stderr=output), log)
        line = await program.logged("Listening on ")
        program.port = int(line.partition("Listening on ")[2].partition(",")[0].rpartition(":")[2])
        return program

    async def connect(self) -> Wire:
        wire = await Wire.open(self.port)
        self.wires.append(wire)
        return wire

    async def logged(self, mark: str) -> str:
        """Wait for the next line with `mark`."""
        found = ""

        def look() -> bool:
            nonlocal found
            text = self.log.read_text()
            start = text.find(mark, self.read)
            end = text.find("\n", start)
            if start < 0 or end < 0:
                return False
            found = text[text.rfind("\n", 0, start) + 1 : end]
            self.read = end
            return True

        await until(look, f"{mark!r} in the log")
        return found

    async def wait(self) -> int | None:
        """Its exit code."""
        await until(lambda: self.popen.poll() is not None, "the program ends")
        return self.popen.returncode

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()


def statuses(answers_: Sequence[Answer]) -> list[int]:
    return sorted(each.status for each in answers_)
