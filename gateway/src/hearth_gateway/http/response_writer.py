"""Writer of one response to a client, where it is more than a backend's bytes passed on as they came.

A ResponseWriter is made for every exchange that needs one: a stream, a response that the gateway writes itself, and whatever
about the request or the connection asks for another form than the backend's. It knows what was written so far, and so how a
failure can still be reported: by a status, by an event after the 200 of a held stream, or not at all.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from hearth_gateway.http import sse
from hearth_gateway.http.response_head import ResponseHead
from hearth_gateway.http.sse import Flavor
from hearth_gateway.policy.failure import Failure

_HELD_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"X-Accel-Buffering: no\r\nX-Hearth-Cold-Start: true\r\n"
    b'Server-Timing: hearth-wait;desc="held"\r\nTransfer-Encoding: chunked\r\n'
)


class ResponseWriter:
    """One response."""

    __slots__ = ("_torn", "_transport", "bodiless", "chunked", "close", "committed", "old_http", "stream")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.close = False
        """Whether it is the last one on its connection."""
        self.old_http = False
        """Whether the client speaks HTTP/1.0: no chunks."""
        self.bodiless = False
        """Whether it has no body, whatever its headers say: HEAD, 204, 304."""
        self.committed = False
        """Whether the client got its head, but nothing that a backend said in a body."""
        self.chunked = False
        self.stream = False
        """Whether it is a stream of events."""
        self._torn = False  # the last event was passed on in part
        self._transport = transport

    def hold(self, notice: str) -> None:
        """Begin a stream before any backend answers, with a comment that says why."""
        self.committed = self.chunked = self.stream = True
        self._transport.write(
            _HELD_HEAD + (b"Connection: close\r\n" if self.close else b"") + b"\r\n" + sse.heartbeat(notice)
        )

    def heartbeat(self, notice: str) -> None:
        """Write a comment into a stream that waits for a backend."""
        self._transport.write(sse.heartbeat(notice))

    def begin(self, head: ResponseHead, waited: float | None) -> None:
        """Write the head, unless that of a held stream is out. `waited`: the seconds that the request was held."""
        self._torn = False
        if head.status in (204, 304):
            self.bodiless = True
        if self.committed:
            return
        self.stream = head.sse
        lines = head.lines
        if head.sse:
            lines = [line for line in lines if line[:13].lower() != b"cache-control"]
            lines += [b"Cache-Control: no-cache", b"X-Accel-Buffering: no"]
        if waited is not None:
            lines += [b"X-Hearth-Cold-Start: true", b"Server-Timing: hearth-wait;dur=%d" % round(waited * 1000)]
        # An error event may have to follow what the backend announced.
        length = None if head.sse or self.bodiless else head.length
        self.chunked = length is None and not self.bodiless and not self.old_http
        if length is not None:
            lines.append(b"Content-Length: %d" % length)
        elif self.chunked:
            lines.append(b"Transfer-Encoding: chunked")
        if self.close:
            lines.append(b"Connection: close")
        self._transport.write(b"\r\n".join(lines) + b"\r\n\r\n")

    def relay(self, body: bytes) -> None:
        """Write a piece of the body; of a stream of events, whole ones."""
        self._torn = False
        self._transport.write(b"%x\r\n%b\r\n" % (len(body), body) if self.chunked else body)

    def relay_torn(self, piece: bytes) -> None:
        """Write a piece of an event that is too large to wait for its end."""
        self._torn = True
        self._write(piece)

    def end_events(self, last: bytes, tail: bytes, flavor: Flavor | None) -> bool:
        """Write what is left of a stream of events; return whether it has its last event, else it was cut off.

        `last`: the latest events; `tail`: an event without its end; `flavor`: None where any event may be the last one.
        """
        if tail and (flavor is None or sse.is_end(tail, flavor)):
            self._write(tail + b"\n\n")
            return True
        return flavor is None or sse.is_end(last, flavor)

    def append_error(self, failure: Failure, flavor: Flavor) -> None:
        """Write an event that says that the stream was cut off."""
        event = sse.error_event(failure, flavor)
        self._write(b"\n\n" + event if self._torn else event)

    def end(self) -> None:
        """Finish the body."""
        if self.chunked:
            self._transport.write(sse.LAST_CHUNK)

    def refuse(self, failure: Failure, flavor: Flavor) -> None:
        """Write a failure instead of a backend's response: as an event, if the head of a stream is out."""
        if self.committed:
            self._end_with(sse.error_event(failure, flavor))
            return
        response = failure_response(failure, close=self.close)
        self._transport.write(response[: response.find(b"\r\n\r\n") + 4] if self.bodiless else response)

    def late_error(self, status: int, body: bytes, flavor: Flavor) -> None:
        """Write a backend's error into a stream whose 200 is out."""
        self._end_with(sse.error_event_from(sse.late_error(status, body), flavor))

    def fail(self, failure: Failure, flavor: Flavor) -> bool:
        """Write a failure after the head, if there is a form that the client understands; return whether there is."""
        if not self.stream or self._torn or not (self.chunked or self.old_http):
            return False
        event = sse.error_event(failure, flavor)
        if self.chunked:
            self._end_with(event)
        else:
            self._transport.write(event)
        return True

    def answer(self, body: bytes, content_type: bytes, status: bytes) -> None:
        """Write a whole response of the gateway itself."""
        head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (status, content_type, len(body))
        if self.close:
            head += b"Connection: close\r\n"
        self._transport.write(head + b"\r\n" + (b"" if self.bodiless else body))

    def _write(self, body: bytes) -> None:
        self._transport.write(sse.chunk(body) if self.chunked else body)

    def _end_with(self, event: bytes) -> None:
        self._transport.write(sse.chunk(event) + sse.LAST_CHUNK)


def failure_response(failure: Failure, *, close: bool) -> bytes:
    """Return the complete HTTP/1.1 response of a refusal."""
    body = failure.body()
    lines = [
        f"HTTP/1.1 {failure.status} {HTTPStatus(failure.status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Hearth-Reason: {failure.reason}",
    ]
    if failure.retry_after is not None:
        lines.append(f"Retry-After: {failure.retry_after}")
    if failure.allow is not None:
        lines.append(f"Allow: {failure.allow}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
