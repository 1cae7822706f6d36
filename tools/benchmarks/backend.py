"""The engine of the benchmarks: an OpenAI-shaped server with canned answers that costs almost nothing.

One asyncio.Protocol per connection, no HTTP parser: it is meant for the well-formed requests of these benchmarks only.
A body with `"stream":true` is answered by `max_tokens` SSE chunks of 190 bytes, `--interval` seconds apart; every
connection keeps its own clock, so the chunks of many streams are spread over time. `"user"` is echoed in each chunk, so
that a client can tell that an answer is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
from collections.abc import Callable
from typing import Any, cast

CHUNK_BYTES = 190
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)

ANSWER = json.dumps(
    {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "bench",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello, bench."}, "finish_reason": "stop"}
        ],
    },
    separators=(",", ":"),
).encode()
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
STREAM_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def response(body: bytes, content_type: bytes = b"application/json") -> bytes:
    """Return a whole 200 answer with a Content-Length."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (content_type, len(body)) + body


def sse_chunk(user: str) -> bytes:
    """One SSE event of CHUNK_BYTES (more for a long `user`) in one HTTP chunk."""
    event = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "model": "bench",
        "user": user,
        "choices": [{"index": 0, "delta": {"content": "token"}, "finish_reason": None}],
    }
    frame = len("data: \n\n")
    bare = len(json.dumps(event, separators=(",", ":"))) + frame
    event["choices"] = [
        {"index": 0, "delta": {"content": "token" + "." * max(0, CHUNK_BYTES - bare)}, "finish_reason": None}
    ]
    data = b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def request_length(data: bytes) -> tuple[int, int] | None:
    """Where the body begins and where the request ends in `data`; None while it is not all there."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    start = head_end + 4
    length = _LENGTH.search(data, 0, start)
    if length is not None:
        end = start + int(length[1])
    elif _CHUNKED.search(data, 0, start) is not None:
        last = data.find(b"0\r\n\r\n", start)
        if last < 0:
            return None
        end = last + 5
    else:
        end = start
    return (start, end) if len(data) >= end else None


class Backend(asyncio.Protocol):
    """One connection of the engine."""

    def __init__(self, interval: float = 0.0) -> None:
        self._interval = interval
        self._pending = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._pending += data
        while (found := request_length(self._pending)) is not None:
            start, end = found
            head, body, self._pending = self._pending[:start], self._pending[start:end], self._pending[end:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if head.startswith(b"GET "):
            transport.write(response(b"", b"text/plain"))
        elif b'"stream":true' in body:
            self._stream(transport, json.loads(body[body.index(b"{") : body.rindex(b"}") + 1]))
        else:
            transport.write(response(ANSWER))

    def _stream(self, transport: asyncio.Transport, request: dict[str, Any]) -> None:
        chunk, count = sse_chunk(request.get("user", "")), int(request.get("max_tokens", 16))
        transport.write(STREAM_HEAD)
        if self._interval <= 0:
            transport.write(chunk * count + STREAM_END)
            return
        loop = asyncio.get_running_loop()
        begin, sent = loop.time(), 0

        def tick() -> None:
            nonlocal sent
            if sent == count:
                transport.write(STREAM_END)
                return
            transport.write(chunk)
            sent += 1
            self._timer = loop.call_at(begin + sent * self._interval, tick)

        tick()


async def serve(port: int, factory: Callable[[], asyncio.Protocol]) -> asyncio.Server:
    """Listen on the loopback port."""
    return await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port, backlog=4096)


async def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="The engine of the benchmarks.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--interval", type=float, default=0.0, help="seconds between the chunks of a stream")
    options = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(options.port, lambda: Backend(options.interval))
    await stop.wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
