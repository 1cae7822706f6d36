"""The streaming client of the benchmarks: one asyncio.Protocol per stream, cheap enough for thousands."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import cast

HOST = "127.0.0.1"
PATH = "/v1/chat/completions"


def request_bytes(model: str, *, user: str, max_tokens: int, prompt: str = "Say hello.") -> bytes:
    """Return a streaming chat request as it goes on the wire."""
    body = json.dumps(
        {
            "model": model,
            "stream": True,
            "user": user,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": prompt}],
        },
        separators=(",", ":"),
    )
    return (
        f"POST {PATH} HTTP/1.1\r\nhost: {HOST}\r\naccept: application/json\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()


@dataclass
class Stream(asyncio.Protocol):
    """One request and all that came back for it. Times are those of time.perf_counter, in seconds; 0 = not yet."""

    request: bytes
    keep: bool = True
    """Keep the whole answer for `check`; otherwise only count."""
    head_at: float = 0.0
    data_at: float = 0.0
    """When the first `data:` line came (heartbeats are comments and do not count)."""
    chunks: int = 0
    heartbeats: int = 0
    error: str = ""
    head: asyncio.Event = field(default_factory=asyncio.Event)
    first: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    transport: asyncio.Transport | None = None
    _kept: list[bytes] = field(default_factory=list)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Note when the answer came, and how it ends."""
        events = data.count(b"data: ")
        if not self.head_at:
            self.head_at = time.perf_counter()
            self.head.set()
            if not data.startswith(b"HTTP/1.1 200"):
                self.error = data[:200].decode(errors="replace")
        if events and not self.data_at:
            self.data_at = time.perf_counter()
            self.first.set()
        self.chunks += events
        if self.keep:
            self._kept.append(data)
        if data.endswith(b"0\r\n\r\n"):
            self.done.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everybody that waits."""
        if not self.done.is_set():
            self.error = self.error or "the connection was closed before the end of the stream"
        for event in (self.head, self.first, self.done):
            event.set()

    def close(self) -> None:
        """Leave; what has come stays."""
        if self.transport is not None:
            self.transport.abort()

    def fault(self, *, user: str, max_tokens: int) -> str:
        """Return what is wrong with the kept answer; empty when it is complete, this client's own, and came once."""
        if self.error:
            return self.error
        _, _, framed = b"".join(self._kept).partition(b"\r\n\r\n")
        lines = _unchunk(framed).decode().splitlines()
        self.heartbeats = sum(line.startswith(":") for line in lines)
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        if data[-1:] != ["[DONE]"]:
            return f"the stream does not end with [DONE]: {data[-1:]}"
        users = [json.loads(each).get("user") for each in data[:-1]]
        if users != [user] * max_tokens:
            return f"wanted {max_tokens} chunks of {user}, got {len(users)}: {users[:3]}"
        return ""


def _unchunk(framed: bytes) -> bytes:
    parts: list[bytes] = []
    position = 0
    while True:
        line_end = framed.index(b"\r\n", position)
        size = int(framed[position:line_end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(framed[line_end + 2 : line_end + 2 + size])
        position = line_end + 2 + size + 2


async def open_streams(port: int, streams: list[Stream], *, at_once: int = 100) -> None:
    """Connect and send every request, `at_once` handshakes at a time."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(at_once)

    async def connect(stream: Stream) -> None:
        async with gate:
            await loop.create_connection(lambda: stream, HOST, port)

    await asyncio.gather(*(connect(each) for each in streams))
