"""Connection of a client: asyncio's callbacks, one request after the other, and the end.

A Client feeds its RequestReader, hands every request to its Exchange, and goes on when that has its response. Requests that
arrive before wait in the reader (pipelining), and so do all while the client does not read its responses. It closes when a
request or response says so, when a request cannot be read on, and when its sweep finds that something took too long.
"""

from __future__ import annotations

import asyncio
from typing import cast

from hearth_gateway.http import request_reader
from hearth_gateway.http.exchange import NONE, Exchange
from hearth_gateway.http.request_reader import RequestError, RequestReader
from hearth_gateway.http.response_writer import failure_response
from hearth_gateway.http.server import Server
from hearth_gateway.policy.failure import Failure, Refused

OPEN, RESUMING, CLOSED = range(3)
"""What a connection does: it takes requests, waits until it can take the next one, or is closing or closed."""


class Client(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_read_paused",
        "_seen",
        "_server",
        "exchange",
        "reader",
        "since",
        "state",
        "transport",
        "writing_paused",
    )

    def __init__(self, server: Server) -> None:
        self.transport: asyncio.Transport
        self.state = OPEN
        self.since = server.now()
        """When the request that is being read began, or the connection became idle, or its state another one."""
        self.reader = RequestReader(server.budget)
        self.exchange = Exchange(self, server)
        self.writing_paused = False
        """Whether the client does not read what it was sent."""
        self._read_paused = False
        self._seen = 0  # the number of the request that the sweep saw last
        self._server = server

    # ---------------------------------------------------------------- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count among the open connections."""
        self.transport = self.exchange.transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Read on, and start the exchange when a request is whole."""
        if self.exchange.state or self.state:  # neither NONE nor OPEN
            self._hold_back(data)
            return
        reader = self.reader
        phase = reader.phase
        try:
            message = reader.feed(data)
            if message is not None:
                self.exchange.start(message, reader)
                return
        except RequestError as error:
            self.fail(error.failure)
            return
        except Refused as refused:
            self.exchange.refuse(refused.failure)
            return
        if reader.phase != phase:
            self.since = self._server.now()
        if reader.expects_continue:
            reader.expects_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _hold_back(self, data: bytes) -> None:
        if self.state != CLOSED and self.reader.hold_back(data) and not self._read_paused:
            self._read_paused = True
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        """Have the backend wait for a client that does not read."""
        self.writing_paused = True
        self.exchange.pause()

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self.writing_paused = False
        self.exchange.resume()
        if self.state == RESUMING:
            self._server.soon(self._resume)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self.state = CLOSED
        self._server.connections.discard(self)
        self.exchange.abandon()
        self.reader.discard()

    # ---------------------------------------------------------------- the exchange's view

    def proceed(self, *, close: bool) -> None:
        """Go on to the next request, or close: the last one is answered."""
        if self.state == CLOSED:
            return
        self.state = OPEN
        if close or self._server.closing:
            self._become(CLOSED)  # and counted until the last byte is read
            if not self.transport.is_closing():
                self.transport.close()
        elif self.writing_paused:
            self._become(RESUMING)  # responses wait for their reader, and requests for their responses
        elif self.reader.pending:
            # Not from here: a long row of pipelined requests must not become a deep stack.
            self._become(RESUMING)
            self._server.soon(self._resume)

    def abort(self) -> None:
        """Close at once: a response that stays incomplete is the only error left."""
        self.state = CLOSED
        self.transport.abort()

    def _resume(self) -> None:
        if self.state != RESUMING or self.writing_paused:
            return
        self.state = OPEN
        pending = self.reader.take_pending()
        if self._read_paused:
            self._read_paused = False
            self.transport.resume_reading()
        if pending:
            self.data_received(pending)

    # ---------------------------------------------------------------- the gateway's view (connections.Connection)

    @property
    def idle(self) -> bool:
        """Whether no request is on it, not even in part."""
        return self.state == OPEN and self.exchange.state == NONE and self.reader.phase == request_reader.IDLE

    @property
    def busy(self) -> bool:
        """Whether a stop should wait for it: it is not closed, or its last bytes are not sent yet."""
        return self.state != CLOSED or self.transport.get_write_buffer_size() > 0

    def fail(self, failure: Failure) -> None:
        """Respond with `failure` and close: what follows cannot be trusted, or is not worth reading."""
        self._server.connections.count_unrouted(failure)
        self.transport.write(failure_response(failure, close=True))
        self._become(CLOSED)  # from now on, however long it was busy, it may be read
        self.reader.discard()
        self._server.connections.linger(self)

    def drain(self) -> None:
        """Announce in the response that is next that it is the last one, if its head is not written yet."""
        self.exchange.drain()

    def close_idle(self) -> None:
        """Close, if idle."""
        if self.idle:
            self.transport.close()

    def stop(self, failure: Failure) -> None:
        """End a request that is being read, or that a backend has, with `failure`."""
        if self.exchange.state != NONE:
            self.exchange.stop(failure)
        elif self.state == OPEN and not self.idle:
            self.fail(failure)

    def sweep(self, now: float) -> None:
        """End what took too long: to send a request, to answer it, or to read the response; or an idle connection."""
        if self.exchange.state != NONE:
            self.exchange.sweep(now)
        elif self.state != OPEN:
            if now - self.since > self._server.limits.idle_timeout_seconds:
                self.transport.abort()  # it does not read what it was sent
        elif self.reader.phase != request_reader.IDLE:
            allowed = self._seconds_to_send()
            if now - self.since > allowed:
                part = "headers" if self.reader.phase == request_reader.HEAD else "body"
                text = f"The request's {part} did not arrive within {allowed:g} s."
                self.fail(Failure(408, "request_timeout", text))
        elif self._seen != self.exchange.serial:
            self._seen = self.exchange.serial
            self.since = now
        elif now - self.since > self._server.limits.idle_timeout_seconds:
            self.transport.abort()  # close would wait for a client that does not read

    def _seconds_to_send(self) -> float:
        """Return how long the request may take to arrive: a while for its head, and for a body at least 1 KiB/s."""
        limits = self._server.limits
        if self.reader.phase == request_reader.HEAD:
            return limits.head_timeout_seconds
        return limits.body_timeout_seconds + self.reader.read / 1024

    def _become(self, state: int) -> None:
        self.state = state
        self.since = self._server.now()
