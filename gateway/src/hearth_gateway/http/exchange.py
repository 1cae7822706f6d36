"""Exchange of one request and its response: between the policy, which decides, and a backend, which answers.

There is one Exchange a connection, made once and used for one request after the other, so that a warm request costs no further
object. It is the policy's `Request` and a backend connection's `Downstream`, and it knows its own connection only as a
`Connection`. A request of the common kind has no ResponseWriter: what its backend sends goes to the client as it came.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, Protocol

from hearth_gateway.http.body import BadBody, read_form, read_json, rename_form_model, rename_model
from hearth_gateway.http.local_routes import LocalRoute
from hearth_gateway.http.request_reader import RequestReader, bad_request, too_large
from hearth_gateway.http.response_head import ResponseHead
from hearth_gateway.http.response_writer import ResponseWriter
from hearth_gateway.http.routes import Route
from hearth_gateway.http.server import Server
from hearth_gateway.http.sse import Flavor
from hearth_gateway.http.upstream import Upstream
from hearth_gateway.policy.backend import Backend
from hearth_gateway.policy.failure import Failure, Refused
from hearth_gateway.policy.service import Service

STALE = 0.1
"""Seconds in which a backend's close of an idle connection arrives, after a request was sent on it."""

NONE, HELD, SENT, ANSWERING = range(4)
"""Where the request is: there is none, it waits, a backend has it, its response has begun."""

_MULTIPART: Final = re.compile(rb"\r\ncontent-type:[ \t]*multipart/", re.IGNORECASE)


class Connection(Protocol):
    """The client's connection."""

    reader: RequestReader
    writing_paused: bool

    def proceed(self, *, close: bool) -> None:
        """Go on to the next request, or close: this one is answered."""

    def abort(self) -> None:
        """Close at once: a response that stays incomplete is the only error left."""


class Exchange:
    """The request that is on a connection, if any."""

    __slots__ = (
        "_connection",
        "_seen",
        "_server",
        "admitted",
        "backend",
        "payload",
        "released",
        "replayed",
        "route",
        "serial",
        "service",
        "since",
        "state",
        "stream",
        "transport",
        "upstream",
        "writer",
    )

    def __init__(self, connection: Connection, server: Server) -> None:
        self.transport: asyncio.Transport
        self.state = NONE
        self.serial = 0
        """The number of the request on its connection."""
        self.since = 0.0
        """When the backend last showed progress, or got the request."""
        self.service: Service | None = None
        self.route: Route | None = None
        self.backend: Backend | None = None
        self.upstream: Upstream | None = None
        self.writer: ResponseWriter | None = None
        self.payload = b""
        """The request as the backend gets it, kept until its response begins."""
        self.stream = False
        """Whether the client asked for a stream of events."""
        self.admitted = 0.0
        self.released = 0.0
        self.replayed = False
        """Whether it was sent a second time: then on a new connection, and never a third time."""
        self._seen = b""  # the piece of the stream that the sweep saw last
        self._connection = connection
        self._server = server

    def _general(self) -> ResponseWriter:
        """Return the writer. From here on the response takes the general path, whatever the backend sends."""
        if self.writer is None:
            self.writer = ResponseWriter(self.transport)
        return self.writer

    @property
    def _flavor(self) -> Flavor:
        return self.route.flavor if self.route is not None else "openai"

    # ---------------------------------------------------------------- finding the service

    def start(self, message: bytes, reader: RequestReader) -> None:
        """Take a request that the reader has completed. Raises Refused and RequestError."""
        self.serial += 1
        if reader.last:
            self._general().close = True
        known = self._server.router.lines.get(message[: message.find(b"\r\n")])
        if known is None:
            self._dispatch(message, reader)
            return
        route, service = known  # a request line that was seen before leads to inference, and needs no rewriting
        self._infer(route, service, message, message[reader.head_end + 4 :], reader.host)

    def _dispatch(self, message: bytes, reader: RequestReader) -> None:
        """Route a request whose line was not seen before."""
        server = self._server
        line = message[: message.find(b"\r\n")]
        method, target, version = line.split(b" ", 2) if line.count(b" ") >= 2 else (b"GET", line, b"HTTP/0.9")
        if version not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise bad_request(f"its version is {version.decode(errors='replace')}; this port speaks HTTP/1.1")
        old = version == b"HTTP/1.0"
        if old or method == b"HEAD" or server.draining:
            writer = self._general()
            writer.old_http = old
            writer.bodiless = method == b"HEAD"
            writer.close = writer.close or old or server.draining
        route, service, rewritten = server.router.match(target)
        if route is None:
            raise Refused(server.starting or _unknown_path(target))
        if method not in route.methods:
            raise Refused(_bad_method(method, route.path, route.methods))
        if isinstance(route, LocalRoute):
            self._answer(route, server.table.pinned(reader.host, service), rewritten or target)
            return
        payload = message
        if rewritten is not None or old:
            payload = b"%b %b HTTP/1.1%b" % (method, rewritten or target, message[len(line) :])
        if not route.wakes:
            self._pass(route, service, payload, reader.host)
            return
        if payload is message and not server.draining:
            server.router.remember(line, route, service)
        self._infer(route, service, payload, message[reader.head_end + 4 :], reader.host)

    def _answer(self, route: LocalRoute, service: Service | None, path: bytes) -> None:
        answer = route.handler(self._server, service, path)
        if isinstance(answer, Failure):
            raise Refused(answer)
        self._general().answer(*answer)
        self._finish()

    def _infer(self, route: Route, service: Service | None, payload: bytes, body: bytes, host: bytes | None) -> None:
        """Hand a request for inference to the policy of its service."""
        table = self._server.table
        if table.by_host.get(host, table) is not None:  # not known to pin nothing
            service = table.pinned(host, service)
        self.route = route
        form = route.form and _MULTIPART.search(payload, 0, len(payload) - len(body)) is not None
        try:
            fields = read_form(body) if form else read_json(body)
            model = fields.model
            if service is None:
                service = table.by_model.get(model) if model.__class__ is str else None
                if service is None:
                    service = self._named(model)
            if model != service.name and model.__class__ is str and model in service.config.aliases:
                body = rename_form_model(body, service.name) if form else rename_model(body, service.name)
                payload = _with_body(payload, body)
        except BadBody as error:
            text = f"The request body is not a JSON object: {error}."
            raise Refused(Failure(400, "bad_body", text, param="body")) from error
        if len(body) > service.small_body:
            limit = service.config.limits.max_request_bytes
            if len(body) > limit:
                raise too_large(len(body), limit)
            self._account_for(payload)
        self.service = service
        self.stream = fields.stream is True and route.streams
        self.payload = payload
        service.admit(self)

    def _pass(self, route: Route, service: Service | None, payload: bytes, host: bytes | None) -> None:
        """Forward a request for an engine that is not inference: to a ready backend, never a reason to wake one."""
        service = self._server.table.pinned(host, service)
        self.route = route
        if service is None:
            service = self._named(None)
        if not service.usable:
            text = f"The model `{service.config.name}` is asleep, and this path does not wake it. Send an inference request first."
            raise Refused(Failure(503, "cold_no_wake", text))
        if len(payload) > service.small_body:
            self._account_for(payload)
        self.service = service
        self.stream = False
        self.payload = payload
        service.admit(self)

    def _named(self, model: object) -> Service:
        """Return the service of a body that names none which is known, where that is clear. Raises Refused."""
        if (starting := self._server.starting) is not None:
            raise Refused(starting)
        return self._server.table.named(model)

    def _account_for(self, payload: bytes) -> None:
        """Reserve memory for a large request until its payload is dropped. Raises RequestError."""
        self._general()  # whose end gives it back: small requests do not even ask
        self._connection.reader.reserve(len(payload))

    def _drop_payload(self) -> None:
        """Let go of the request: it will not be sent again."""
        self.payload = b""
        self._connection.reader.release()

    # ---------------------------------------------------------------- the policy's view (service.Request)

    @property
    def size(self) -> int:
        """Bytes that the request keeps in memory while it waits."""
        return len(self.payload)

    def hold(self, notice: str) -> None:
        """Wait; begin a stream that says so."""
        self.state = HELD
        writer = self._general()
        if self.stream and not writer.committed and not writer.old_http:
            writer.hold(notice)
        self._connection.reader.park()

    def heartbeat(self, notice: str) -> None:
        """Say that the request still waits, unless what was said before is not read yet."""
        writer = self.writer
        if writer is not None and writer.committed and not self._connection.writing_paused:
            writer.heartbeat(notice)

    def forward(self, backend: Backend) -> None:
        """Send the request."""
        self.backend = backend
        self.state = SENT
        service = self.service
        assert service is not None
        self.since = service.last_request or 0.0
        pool = backend.pool
        if pool and not self.replayed:
            upstream: Upstream = pool.pop()
            self.upstream = upstream
            upstream.client = self
            if self._connection.writing_paused:
                self.pause()
            upstream.transport.write(self.payload)
        else:
            self._server.connector.connect(self, backend)

    def refuse(self, failure: Failure) -> None:
        """Answer with a failure, before a backend's response has begun."""
        if self.service is not None:
            self.service.counters.count(failure.status)
        self._general().refuse(failure, self._flavor)
        self._finish()

    # ---------------------------------------------------------------- a new connection (connector.Waiting)

    def waits_for(self, backend: Backend, serial: int) -> bool:
        """Whether a connection to `backend` is still wanted for the request with that number."""
        return self.state == SENT and self.backend is backend and self.serial == serial and self.upstream is None

    def connected(self, upstream: Upstream) -> None:
        """Send the request on a new connection."""
        self.upstream = upstream
        if self._connection.writing_paused:
            self.pause()
        upstream.client = self
        upstream.transport.write(self.payload)

    def connect_failed(self, backend: Backend, why: str, *, exhausted: bool) -> None:
        """Go to another backend, or back into the queue: nothing was sent, so nothing is lost."""
        service = self.service
        assert service is not None
        if exhausted:
            service.done(backend)
            self._fail(Failure(503, "no_capacity", f"The gateway cannot open connections: {why}.", retry_after=1))
            return
        service.mark_suspect(backend)
        self._again(service, backend, why)

    # ---------------------------------------------------------------- a response (upstream.Downstream)

    def begin(self, head: ResponseHead) -> ResponseWriter:
        """Take the head of a response; return what writes its body."""
        self.state = ANSWERING
        if not head.sse:
            self._drop_payload()  # else the sweep does it, when an event has come
        writer = self._general()
        writer.begin(head, self.released - self.admitted if self.released else None)
        return writer

    def passed(self, upstream: Upstream) -> None:
        """Go on after a whole 200 that was passed on as it came, on connections that stay open."""
        backend = upstream.backend
        service = self.service
        assert service is not None
        self.upstream = self.service = self.backend = None
        self.state = NONE
        self.payload = b""
        if backend.removed or upstream.paused:
            upstream.abort()
        else:
            upstream.idle_sweeps = 0
            backend.pool.append(upstream)
        service.counters.codes[200] += 1
        service.done(backend)
        if self._connection.reader.pending or self.replayed or self._server.closing:
            self._finish()

    def ended(self, upstream: Upstream, status: int, last: bytes | None, tail: bytes) -> None:
        """Finish a response whose body is complete; a stream of events that lacks its last one was cut off."""
        route, service, writer = self.route, self.service, self.writer
        assert route is not None
        assert service is not None
        assert writer is not None
        if last is not None and not writer.end_events(last, tail, route.flavor if route.streams else None):
            text = f"The backend of `{service.config.name}` ended the stream before its last event."
            writer.append_error(Failure(502, "backend_failed", text), route.flavor)
            status = 502
        writer.end()
        self._finished(upstream, status)

    def failed_late(self, upstream: Upstream, status: int, body: bytes) -> None:
        """Tell a backend's error to a stream whose 200 is out."""
        self._general().late_error(status, body, self._flavor)
        self._finished(upstream, status)

    def _finished(self, upstream: Upstream, status: int) -> None:
        """Go on after a response of any kind."""
        self.upstream = None
        service = self.service
        assert service is not None
        upstream.resume()
        upstream.leave()
        service.counters.count(status)
        service.done(upstream.backend)
        self._finish()

    def lost(self, upstream: Upstream, why: str) -> None:
        """Send the request once more, if the client knows nothing yet; else fail."""
        service, backend = self.service, upstream.backend
        assert service is not None
        self.upstream = None
        if not self.replayed and (self.state == SENT or self._has_only_head(upstream)):
            self.replayed = True
            if not upstream.pooled or self._server.now() - self.since > STALE:
                # It did not just close an idle connection, it is likely to be dying; and a port may accept for a while after
                # its process died, when a child of it inherited the socket. A probe tells whether it still answers.
                service.mark_suspect(backend)
            self._again(service, backend, why)
            return
        service.done(backend)
        when = "during its response" if self.state == ANSWERING else "before responding"
        again = ", also on the second attempt" if self.replayed and self.state == SENT else ""
        text = f"The backend of `{service.config.name}` failed {when}{again}: {why}."
        self._fail(Failure(502, "backend_failed", text))

    def _has_only_head(self, upstream: Upstream) -> bool:
        """Whether the client knows no more than that a stream begins: vLLM sends the head of a stream before its first token."""
        writer = self.writer
        if writer is None or self.state != ANSWERING or not self.payload:
            return False
        if not writer.chunked or upstream.status != 200 or upstream.last:
            return False
        writer.committed = True
        return True

    def broken(self, upstream: Upstream, why: str) -> None:
        """Fail: the backend does not speak HTTP."""
        service = self.service
        assert service is not None
        self.upstream = None
        service.done(upstream.backend)
        text = f"The backend of `{service.config.name}` sent an invalid HTTP response: {why}."
        self._fail(Failure(502, "backend_failed", text))

    def _again(self, service: Service, backend: Backend, why: str) -> None:
        assert self.route is not None
        if not self.route.wakes and not service.usable:
            service.done(backend)
            text = f"The backend of `{service.config.name}` is gone ({why}), and this path does not wake another."
            self._fail(Failure(503, "cold_no_wake", text))
            return
        self.backend = None
        self.upstream = None
        service.retry(self, backend)

    # ---------------------------------------------------------------- the connection's view

    def pause(self) -> None:
        """Read no more of the response until the client took what it has."""
        self._general()  # whose end is asked before another request is served
        if self.upstream is not None:
            self.upstream.pause()

    def resume(self) -> None:
        """Read the response again."""
        if self.upstream is not None:
            self.upstream.resume()

    def drain(self) -> None:
        """Announce that the response is the last one on its connection, if its head is not written yet.

        Requests that come later find out by themselves.
        """
        if self.state in (HELD, SENT) and not self._general().committed:
            self._general().close = True

    def sweep(self, now: float) -> None:
        """Give up when the backend is silent for too long."""
        if self.state not in (SENT, ANSWERING) or self.service is None:
            return
        upstream = self.upstream
        if upstream is not None and upstream.last is not self._seen:
            self._seen = upstream.last
            if upstream.last:
                self._drop_payload()
            self.since = now
            return
        timeouts = self.service.config.timeouts
        limit = timeouts.first_byte_seconds if self.state == SENT else timeouts.idle_seconds
        if now - self.since > limit:
            text = f"The backend of `{self.service.config.name}` sent nothing for {limit:g} s."
            self._give_up(Failure(504, "backend_timeout", text))

    def stop(self, failure: Failure) -> None:
        """End a request at a backend with `failure`."""
        if self.state in (SENT, ANSWERING):
            self._give_up(failure)

    def abandon(self) -> None:
        """Let go of everything: the client left."""
        service, backend, upstream = self.service, self.backend, self.upstream
        state, self.state = self.state, NONE
        self.upstream = None
        if state != NONE:
            assert service is not None
            if state == HELD:
                service.abandon(self)
            else:
                if upstream is not None:
                    upstream.abort()  # the engine notices and stops generating
                assert backend is not None
                service.done(backend)
            service.counters.count(499)
        self._reset()

    # ---------------------------------------------------------------- ends

    def _give_up(self, failure: Failure) -> None:
        service, backend = self.service, self.backend
        assert service is not None
        assert backend is not None
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None
        service.done(backend)
        self._fail(failure)

    def _fail(self, failure: Failure) -> None:
        """Tell a failure after the request was sent, in whatever form the client can still understand."""
        if self.state == SENT:
            self.refuse(failure)
            return
        service, writer = self.service, self.writer
        assert service is not None
        assert writer is not None
        service.counters.count(failure.status)
        if writer.fail(failure, self._flavor):
            self._finish()
        else:
            self._reset()
            self._connection.abort()

    def _finish(self) -> None:
        """Make room for the next request."""
        close = self.writer is not None and self.writer.close
        self._reset()
        self._connection.proceed(close=close)

    def _reset(self) -> None:
        self.state = NONE
        self.service = self.route = self.backend = self.writer = None
        self.stream = self.replayed = False
        self.admitted = self.released = 0.0
        self._drop_payload()


def _unknown_path(target: bytes) -> Failure:
    text = f"There is no {target.decode(errors='replace')[:200]} here. Inference is under /v1/ or /MODEL/v1/."
    return Failure(404, "unknown_path", text)


def _bad_method(method: bytes, path: bytes, methods: tuple[bytes, ...]) -> Failure:
    allowed = b", ".join(methods).decode()
    text = f"{method.decode()} is not a method of {path.decode()}; use {allowed}."
    return Failure(405, "method_not_allowed", text, allow=allowed)


def _with_body(payload: bytes, body: bytes) -> bytes:
    """Return the same head with another body."""
    end = payload.find(b"\r\n\r\n")
    lines = [line for line in payload[:end].split(b"\r\n") if not line.lower().startswith(b"content-length:")]
    return b"\r\n".join(lines) + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
