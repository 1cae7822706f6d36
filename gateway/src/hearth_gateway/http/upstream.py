"""Connection to a backend: HTTP/1.1 with keep-alive, one request at a time.

Responses are passed through as they come. The common cases touch no byte: a unary response that arrives in one read is written
to the client as it is, and so is a streamed chunk that holds whole events. Everything else takes the general path of the
same class: it finds head and framing, and hands pieces to a ResponseWriter.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Protocol, cast

from hearth_gateway.http.chunked import BadChunk, ChunkDecoder
from hearth_gateway.http.keepalive import limit_silence
from hearth_gateway.http.response_head import BadResponse, ResponseHead, read_head
from hearth_gateway.http.response_writer import ResponseWriter
from hearth_gateway.policy.backend import Backend

MAX_EVENT = 1024 * 1024
"""Bytes; an event larger than this is passed on in pieces."""
MAX_LATE_ERROR = 64 * 1024
"""Bytes of an error that are kept, when it must become an event."""

# Headers that decide how a response is passed on; the length of one that has it.
_FRAMING = re.compile(
    rb"\n(?:c(?:ontent-(?:length: (\d+)\r|type:[ \t]*text/event-stream)|onnection:)|transfer-encoding:)"
)

# What the body of the response is framed by.
_HEAD, _LENGTH, _CHUNKED, _UNTIL_CLOSE, _NONE = range(5)


class Downstream(Protocol):
    """The exchange that a response is for."""

    transport: asyncio.Transport
    """Where bytes go that need no change."""
    writer: ResponseWriter | None
    """None: a response may be passed on as it came."""

    def begin(self, head: ResponseHead) -> ResponseWriter:
        """Take the head of a response; return what writes its body."""

    def passed(self, upstream: Upstream) -> None:
        """Go on after a whole 200 that was passed on as it came."""

    def ended(self, upstream: Upstream, status: int, last: bytes | None, tail: bytes) -> None:
        """Finish a response whose body is complete.

        `last`: the latest piece of a stream of events, None for other bodies; `tail`: an event without its end.
        """

    def failed_late(self, upstream: Upstream, status: int, body: bytes) -> None:
        """Take a response that is none for a stream whose 200 is out."""

    def lost(self, upstream: Upstream, why: str) -> None:
        """Go on after the connection ended before the response did."""

    def broken(self, upstream: Upstream, why: str) -> None:
        """Go on after a response that is not HTTP."""


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
        "_writer",
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
        self.client: Downstream | None = None
        self.transport: asyncio.Transport
        self.closed = False
        self.paused = False
        self.idle_sweeps = -1
        """How often the sweep found it idle; -1: it was never idle."""
        self.status = 0
        """The status of the response that is being read; 0 before its head."""
        self.last = b""
        """The latest piece of the stream: it shows progress, and whether the stream has its end."""
        self._framing = _HEAD
        self._body = b""  # bytes of an incomplete head
        self._remaining = 0
        self._decoder: ChunkDecoder | None = None
        self._writer: ResponseWriter
        self._sse = False
        self._as_is = False  # chunks of whole events may be passed on with their framing
        self._tail = b""  # an event that is not complete yet
        self._keep = True
        self._late: list[bytes] | None = None  # an error body that must become an event

    # ---------------------------------------------------------------- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Limit how long the other end may be gone without a word."""
        self.transport = cast("asyncio.Transport", transport)
        with contextlib.suppress(OSError):  # it was reset already; connection_lost follows
            limit_silence(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        """Pass on a piece of the response."""
        client = self.client
        if client is None:
            self.abort()  # a response that nobody asked for
            return
        framing = self._framing
        if framing == _HEAD:
            # The common unary response: one read, a 200 of known length, nothing for this hop. Passed on as it is.
            end = data.find(b"\r\n\r\n")
            if end > 0 and client.writer is None and not self._body:
                framing_headers = _FRAMING.findall(data[: end + 2].lower())
                if (
                    len(framing_headers) == 1
                    and data[:13] == b"HTTP/1.1 200 "
                    and framing_headers[0] == b"%d" % (len(data) - end - 4)
                ):
                    self.client = None
                    client.transport.write(data)
                    client.passed(self)
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
            self._piece(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the pool, or tell the exchange."""
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
            client.lost(self, f"{exc}" if exc else "it closed the connection")

    def pause_writing(self) -> None:
        """Do nothing: a large request body is on its way, and in memory already."""

    def resume_writing(self) -> None:
        """Do nothing, see pause_writing."""

    # ---------------------------------------------------------------- the exchange's view

    @property
    def pooled(self) -> bool:
        """Whether it was idle before its request."""
        return self.idle_sweeps >= 0

    def pause(self) -> None:
        """Read nothing until the client took what it has."""
        if not self.closed:
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.paused and not self.closed:
            self.paused = False
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once, without a word to the exchange."""
        self.client = None
        if not self.closed:
            self.closed = True
            self.transport.abort()

    def leave(self) -> None:
        """Wait in the pool for the next request, or close where that cannot be."""
        if self._keep and not self.closed and not self.transport.is_closing() and not self.backend.removed:
            self.idle_sweeps = 0
            self.backend.pool.append(self)
        else:
            self.abort()

    # ---------------------------------------------------------------- the head of a response

    def _head(self, client: Downstream, data: bytes) -> None:
        """Begin any response: find its framing, and hand head and body on."""
        try:
            head, rest = read_head(self._body + data)
        except BadResponse as error:
            self._broken(client, str(error))
            return
        if head is None:
            self._body = rest
            return
        self._body = b""
        self.status = head.status
        self.last = b""
        self._tail = b""
        self._sse = head.sse
        self._writer = client.begin(head)
        self._frame(head, self._writer)
        if self._framing == _NONE or (self._framing == _LENGTH and not self._remaining):
            if rest:
                self._keep = False
            self._end(client)
        elif rest:
            self.data_received(rest)

    def _frame(self, head: ResponseHead, writer: ResponseWriter) -> None:
        """Decide how the body is read and passed on."""
        self._keep = head.keep
        if writer.bodiless:
            self._framing = _NONE
        elif head.chunked:
            self._framing = _CHUNKED
            self._decoder = ChunkDecoder()
        elif head.length is not None:
            self._framing = _LENGTH
            self._remaining = head.length
        else:
            self._framing = _UNTIL_CLOSE
            self._keep = False
        self._late = [] if writer.committed and (head.status != 200 or not head.sse) else None
        self._as_is = head.sse and self._late is None and not writer.old_http

    def _broken(self, client: Downstream, why: str) -> None:
        self.abort()
        client.broken(self, why)

    # ---------------------------------------------------------------- the body of a response

    def _counted(self, client: Downstream, data: bytes) -> None:
        surplus = len(data) - self._remaining
        if surplus > 0:
            data = data[: self._remaining]
            self._keep = False
        self._remaining -= len(data)
        self._piece(data)
        if not self._remaining and self.client is client:
            self._end(client)

    def _chunks(self, client: Downstream, decoder: ChunkDecoder, data: bytes) -> None:
        try:
            body = decoder.feed(data)
        except BadChunk as error:
            self._broken(client, f"it has {error}")
            return
        if body:
            self._piece(body)
        if decoder.done and self.client is client:
            if decoder.rest:
                self._keep = False
            self._end(client)

    def _piece(self, body: bytes) -> None:
        """Pass on a piece of the body; of a stream of events, those that are complete."""
        if self._late is not None:
            if sum(map(len, self._late)) < MAX_LATE_ERROR:
                self._late.append(body)
            return
        self.last = body
        if not self._sse:
            self._writer.relay(body)
            return
        body = self._tail + body if self._tail else body
        cut = len(body) if body.endswith((b"\n\n", b"\r\n\r\n")) else _after_last_event(body)
        if cut:
            self._tail = body[cut:]
            self.last = body[:cut]
            self._writer.relay(self.last)
        elif len(body) > MAX_EVENT:
            self._tail = b""
            self.last = body
            self._writer.relay_torn(body)
        else:
            self._tail = body

    def _end(self, client: Downstream) -> None:
        """Finish: the response is complete."""
        self.client = None
        status, late = self.status, self._late
        last, tail = self.last if self._sse else None, self._tail
        self._framing = _HEAD
        self._decoder = None
        self._late = None
        self._tail = b""
        self._remaining = 0
        self.last = b""
        self.status = 0
        if late is not None:
            client.failed_late(self, status, b"".join(late)[:MAX_LATE_ERROR])
        else:
            client.ended(self, status, last, tail)


def _after_last_event(body: bytes) -> int:
    """Return where the last complete event ends; 0 when there is none."""
    return max(
        body.rfind(b"\n\n") + 2 if b"\n\n" in body else 0, body.rfind(b"\r\n\r\n") + 4 if b"\r\n\r\n" in body else 0
    )
