"""The wire to a backend: one keep-alive connection, one request at a time.

Answers are passed through as they come. The common cases touch no byte: a unary answer that arrives in one read is written to the
client as it is, and so is a streamed chunk that holds whole events. Everything else takes the slow path of the same class.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, cast

from hearth_gateway.http.chunked import BadChunk, ChunkDecoder
from hearth_gateway.http.keepalive import limit_silence

if TYPE_CHECKING:
    from hearth_gateway.http.client import Client
    from hearth_gateway.policy.backend import Backend

MAX_HEAD = 64 * 1024
MAX_EVENT = 1024 * 1024  # an event larger than this is passed on in pieces
MAX_LATE_ERROR = 64 * 1024
CONNECT_TIMEOUT = 5.0
POOL_IDLE = 4.0  # vLLM closes an idle connection after 5 s (VLLM_HTTP_TIMEOUT_KEEP_ALIVE)

# Headers that decide how an answer is passed on; the length of one that has it.
_FRAMING = re.compile(
    rb"\n(?:c(?:ontent-(?:length: (\d+)\r|type:[ \t]*text/event-stream)|onnection:)|transfer-encoding:)"
)

# What the body of the answer is framed by.
_HEAD, _LENGTH, _CHUNKED, _UNTIL_CLOSE, _NONE = range(5)


class Upstream(asyncio.Protocol):
    """One connection to a backend."""

    __slots__ = (
        "_as_is",
        "_body",
        "_decoder",
        "_framing",
        "_keep",
        "_late",
        "_remaining",
        "_sse",
        "_tail",
        "backend",
        "client",
        "closed",
        "idle_sweeps",
        "last",
        "paused",
        "status",
        "transport",
    )

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.client: Client | None = None
        self.transport: asyncio.Transport
        self.closed = False
        self.paused = False
        self.idle_sweeps = -1  # how often the sweep found it idle; -1: it was never idle
        self.status = 0  # of the answer that is being read; 0 before its head
        self.last = b""  # the latest piece of the stream: tells progress, and whether it ended with [DONE]
        self._framing = _HEAD
        self._body = b""  # bytes of an incomplete head
        self._remaining = 0
        self._decoder: ChunkDecoder | None = None
        self._sse = False
        self._as_is = False  # chunks of whole events may be passed on with their framing
        self._tail = b""  # an event that is not complete yet
        self._keep = True
        self._late: list[bytes] | None = None  # an error body that must become an event

    # ---------------------------------------------------------------- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        with contextlib.suppress(OSError):  # it was reset already, which is told next
            limit_silence(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is None:
            self.abort()  # an answer that nobody asked for
            return
        framing = self._framing
        if framing == _HEAD:
            # The common unary answer: one read, a 200 of known length, nothing for this hop. Passed on as it is.
            end = data.find(b"\r\n\r\n")
            if end > 0 and client.plain and not self._body:
                framing_headers = _FRAMING.findall(data[: end + 2].lower())
                if (
                    len(framing_headers) == 1
                    and data[:13] == b"HTTP/1.1 200 "
                    and framing_headers[0] == b"%d" % (len(data) - end - 4)
                ):
                    self.client = None
                    client.transport.write(data)
                    client.answered(self)
                    return
            self._head(client, data)
        elif framing == _CHUNKED:
            decoder = self._decoder
            assert decoder is not None
            if self._as_is and not self._tail and decoder.at_boundary and data.endswith(b"\n\n\r\n"):
                end = data.find(b"\r\n", 0, 10)
                # Exactly one chunk with whole events: pass it on as it is.
                if end > 0 and data[:end] == b"%x" % (len(data) - end - 4):
                    self.last = data
                    client.transport.write(data)
                    return
            self._chunks(client, decoder, data)
        elif framing == _LENGTH:
            self._counted(client, data)
        else:
            self._body_piece(client, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        client = self.client
        if client is None:
            pool = self.backend.pool
            if self in pool:
                pool.remove(self)
            return
        self.client = None
        if self._framing == _UNTIL_CLOSE and exc is None:
            self._end(client)
        else:
            client.upstream_lost(self, f"{exc}" if exc else "the connection was closed")

    def pause_writing(self) -> None:
        """A large request body is on its way; it is in memory already."""

    def resume_writing(self) -> None:
        """See pause_writing."""

    def abort(self) -> None:
        """Close without ceremony; nobody is told."""
        self.client = None
        if not self.closed:
            self.closed = True
            self.transport.abort()

    # ---------------------------------------------------------------- the head of an answer

    def _head(self, client: Client, data: bytes) -> None:
        """Any answer: find its framing and hand head and body on."""
        if self._body:
            data = self._body + data
            self._body = b""
        status = 0
        while status < 200:  # interim answers are skipped; the real one follows
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD:
                    self._broken(client, "its answer has no end of headers within 64 KiB")
                else:
                    self._body = data
                return
            lines = data[:end].split(b"\r\n")
            version, _, rest = lines[0].partition(b" ")
            if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit() or not 100 <= int(rest[:3]) <= 599:
                self._broken(client, f"its answer starts with {lines[0][:60]!r}, which is not HTTP")
                return
            status = int(rest[:3])
            if status == 101:
                self._broken(client, "it switched protocols, which nobody asked for")
                return
            body = data[end + 4 :]
            data = body
        length: int | None = None
        chunked = False
        self._keep = version == b"HTTP/1.1"
        kept = [b"HTTP/1.1 " + rest]
        content_type = b""
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            low = name.lower()
            value = value.strip()
            if low == b"content-length":
                if not value.isdigit() or (length is not None and length != int(value)):
                    self._broken(client, f"its Content-Length is {value[:30]!r}")
                    return
                length = int(value)
                continue
            if low == b"transfer-encoding":
                chunked = value.lower() == b"chunked"
                if not chunked:
                    self._broken(client, f"its Transfer-Encoding is {value[:30]!r}")
                    return
                continue
            if low == b"connection":
                if b"close" in value.lower():
                    self._keep = False
                continue
            if low in (b"keep-alive", b"x-accel-buffering", b"proxy-connection", b"trailer", b"upgrade"):
                continue
            if low == b"content-type":
                content_type = value.lower()
            kept.append(line)
        self.status = status
        self._sse = content_type.startswith(b"text/event-stream")
        self._tail = b""
        self.last = b""
        if status in (204, 304):
            client.bodiless = True
            client.plain = False
        if client.bodiless:
            self._framing = _NONE
        elif chunked:
            self._framing = _CHUNKED
            self._decoder = ChunkDecoder()
        elif length is not None:
            self._framing = _LENGTH
            self._remaining = length
        else:
            self._framing = _UNTIL_CLOSE
            self._keep = False
        self._late = None
        if client.committed and (status != 200 or not self._sse):
            self._late = []
        self._as_is = self._sse and self._late is None and not client.old_http
        client.begin(kept, length if self._framing == _LENGTH else None, sse=self._sse)
        if self._framing == _NONE or (self._framing == _LENGTH and not self._remaining):
            if body:
                self._keep = False
            self._end(client)
        elif body:
            self.data_received(body)

    def _broken(self, client: Client, why: str) -> None:
        self.abort()
        client.upstream_broken(self, why)

    # ---------------------------------------------------------------- the body of an answer

    def _counted(self, client: Client, data: bytes) -> None:
        surplus = len(data) - self._remaining
        if surplus > 0:
            data = data[: self._remaining]
            self._keep = False
        self._remaining -= len(data)
        self._body_piece(client, data)
        if not self._remaining and self.client is client:
            self._end(client)

    def _chunks(self, client: Client, decoder: ChunkDecoder, data: bytes) -> None:
        try:
            body = decoder.feed(data)
        except BadChunk as error:
            self._broken(client, f"it sent {error}")
            return
        if body:
            self._body_piece(client, body)
        if decoder.done and self.client is client:
            if decoder.rest:
                self._keep = False
            self._end(client)

    def _body_piece(self, client: Client, body: bytes) -> None:
        if self._late is not None:
            if sum(map(len, self._late)) < MAX_LATE_ERROR:
                self._late.append(body)
            return
        self.last = body
        if not self._sse:
            client.relay(body)
            return
        body = self._tail + body if self._tail else body
        cut = len(body) if body.endswith((b"\n\n", b"\r\n\r\n")) else _after_last_event(body)
        if cut:
            client.torn = False
        elif len(body) > MAX_EVENT:
            client.torn = True
            cut = len(body)
        self._tail = body[cut:]
        if cut:
            events = body[:cut]
            self.last = events
            client.relay(events)

    def _end(self, client: Client) -> None:
        """The answer is complete."""
        self.client = None
        status = self.status
        late = self._late
        if late is not None:
            self._reset()
            client.late_error(self, status, b"".join(late)[:MAX_LATE_ERROR])
            return
        last, tail = self.last if self._sse else None, self._tail
        self._reset()
        client.relay_end(self, status, last, tail)

    def _reset(self) -> None:
        self._framing = _HEAD
        self._decoder = None
        self._late = None
        self._tail = b""
        self._remaining = 0
        self.last = b""
        self.status = 0

    @property
    def pooled(self) -> bool:
        """Whether it was idle before its request."""
        return self.idle_sweeps >= 0

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on this connection now."""
        return self._keep and not self.closed and not self.transport.is_closing()


def _after_last_event(body: bytes) -> int:
    """Where the last complete event ends; 0 when there is none."""
    return max(
        body.rfind(b"\n\n") + 2 if b"\n\n" in body else 0, body.rfind(b"\r\n\r\n") + 4 if b"\r\n\r\n" in body else 0
    )
