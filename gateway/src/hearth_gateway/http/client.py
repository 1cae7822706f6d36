"""The wire to a client: HTTP/1.1 in, policy in the middle, answers out.

One instance a connection; it is the policy's ``Request`` while a request is on the way, so that a warm request costs no further
object. The head is found in the read buffer, checked by httptools (llhttp, strict), and passed on as it came unless
something in it concerns this hop. Bodies are read to their end before anything is decided: that is what makes a replay
possible, and what keeps a slow sender from occupying a backend.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, cast

import httptools

from hearth_gateway.http import sse
from hearth_gateway.http.body import BadBody, read_form, read_json, rename_form_model, rename_model
from hearth_gateway.http.routes import Kind, Route
from hearth_gateway.policy.failure import Failure

if TYPE_CHECKING:
    from hearth_gateway.gateway import Gateway
    from hearth_gateway.http.upstream import Upstream
    from hearth_gateway.policy.backend import Backend
    from hearth_gateway.policy.service import Service

STALE = 0.1  # seconds in which a backend's close of an idle connection arrives, after a request was sent on it

# States of a connection, in the order of a request's life.
IDLE, HEAD, BODY, HELD, SENT, ANSWERING, RESUMING, CLOSED = range(8)

_SPECIAL: Final = re.compile(
    rb"\n(content-length|host|connection|transfer-encoding|expect|upgrade|http2-settings|keep-alive|te|trailer"
    rb"|proxy-connection|proxy-authorization|proxy-authenticate):[ \t]*([^\r]*)"
)
_CONTENT_TYPE: Final = re.compile(rb"\r\ncontent-type:[ \t]*multipart/", re.IGNORECASE)
_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"expect",
        b"content-length",
    )
)


def _odd_length(value: bytes) -> int:
    """A Content-Length with white space or leading zeros; what the parser refuses is 0 here."""
    value = value.strip(b" \t").lstrip(b"0")
    return int(value) if value.isdigit() and len(value) <= 20 else 0


class _Validator:
    """httptools asks its protocol object for callbacks; we need only its verdict."""


class _BodyCollector:
    """Callbacks for the body of a request whose head was rebuilt; it may be chunked."""

    def __init__(self, limit: int) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.limit = limit
        self.complete = False
        self.surplus = False  # bytes of another message followed

    def on_message_begin(self) -> None:
        self.surplus = self.complete

    def on_body(self, part: bytes) -> None:
        if self.complete:
            return
        self.size += len(part)
        if self.size <= self.limit:
            self.parts.append(part)

    def on_message_complete(self) -> None:
        self.complete = True


class Client(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_buffer",
        "_chunked",
        "_close",
        "_collector",
        "_head",
        "_host",
        "_parser",
        "_parts",
        "_pending",
        "_read",
        "_read_paused",
        "_reserved",
        "_total",
        "_writing_paused",
        "admitted",
        "backend",
        "bodiless",
        "committed",
        "fresh",
        "gateway",
        "old_http",
        "payload",
        "plain",
        "released",
        "replayed",
        "route",
        "seen",
        "seen_serial",
        "serial",
        "service",
        "since",
        "state",
        "stream",
        "torn",
        "transport",
        "upstream",
    )

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.state = IDLE
        self.since = gateway.now()
        self.serial = 0  # of the request on this connection
        self.transport: asyncio.Transport
        self.service: Service | None = None
        self.route: Route | None = None
        self.backend: Backend | None = None
        self.upstream: Upstream | None = None
        self.payload = b""  # the request as the backend gets it, kept until its answer begins
        self.stream = False  # the client asked for a stream of events
        self.admitted = 0.0
        self.released = 0.0
        self.replayed = False
        self.fresh = False  # must not use a pooled connection: it is a replay
        self.plain = True  # the answer may be passed on as it is
        self.bodiless = False  # HEAD
        self.committed = False  # 200 and heartbeats were sent before a backend answered
        self.torn = False  # part of an event was passed on
        self.old_http = False  # HTTP/1.0
        self.seen = b""  # the piece of the stream that the sweep saw last
        self.seen_serial = 0  # the request that it saw last
        self._close = False
        self._chunked = False  # the answer is written in chunks
        self._parser: httptools.HttpRequestParser | None = None
        self._buffer = b""  # an incomplete head
        self._head = b""  # a rebuilt head that waits for its body
        self._host: bytes | None = None
        self._total = 0  # bytes of head and body together
        self._parts: list[bytes] = []  # of an incomplete request
        self._collector: _BodyCollector | None = None
        self._pending = b""  # pipelined bytes
        self._read = 0  # bytes of an incomplete request
        self._reserved = 0  # bytes taken from the gateway's budget for requests
        self._read_paused = False
        self._writing_paused = False

    # ---------------------------------------------------------------- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.gateway.joined(self)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == IDLE:
            self._start(data)
        elif state == HEAD:
            buffered, self._buffer = self._buffer, b""
            self._start(buffered + data)
        elif state == BODY:
            self._more_body(data)
        elif state != CLOSED:
            self._pipeline(data)

    def connection_lost(self, exc: Exception | None) -> None:
        state, self.state = self.state, CLOSED
        self._return_budget()
        self.gateway.left(self)
        service, backend, upstream = self.service, self.backend, self.upstream
        self.upstream = None
        if state == HELD:
            assert service is not None
            service.abandon(self)
            self.gateway.count(service, 499)
        elif state in (SENT, ANSWERING):
            if upstream is not None:
                upstream.abort()  # the engine notices and stops generating
            assert service is not None
            assert backend is not None
            service.done(backend)
            self.gateway.count(service, 499)
        self.service = self.backend = None
        self.payload = self._head = self._pending = b""
        self._parts = []
        self._parser = None
        self._collector = None

    def pause_writing(self) -> None:
        self._writing_paused = True
        self.plain = False  # so that _next is asked before another request is served
        if self.upstream is not None and not self.upstream.closed:
            self.upstream.paused = True
            self.upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        upstream = self.upstream
        if upstream is not None and upstream.paused and not upstream.closed:
            upstream.paused = False
            upstream.transport.resume_reading()
        if self.state == RESUMING:
            self.gateway.soon(self._resume)

    # ---------------------------------------------------------------- reading a request

    def _start(self, data: bytes) -> None:
        if data[0] < 32:
            data = data.lstrip(b"\r\n")  # stray line ends before a request are allowed
            if not data:
                return
        end = data.find(b"\r\n\r\n")
        limits = self.gateway.limits
        if end < 0 or end > limits.max_head_bytes:
            self._incomplete_head(data)
            return
        length = 0
        host: bytes | None = None
        special = False
        for name, value in _SPECIAL.findall(data[:end].lower()):
            if name == b"content-length":
                # Who counts differently from the parser takes a body for the next request.
                length = int(value) if len(value) < 16 and value.isdigit() else _odd_length(value)
            elif name == b"host":
                if host is not None:
                    self._bad_request("it has two Host headers")
                    return
                host = value
            elif name != b"connection" or value != b"keep-alive":  # which says the same on the next hop
                special = True
        self.serial += 1
        self._host = host
        if special:
            self._start_special(data, end, length)
            return
        total = end + 4 + length
        surplus = len(data) - total
        if surplus < 0 and length > self.gateway.max_request_bytes:
            self._too_large(length)
            return
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(_Validator())
        if surplus > 0:
            self._pending = data[total:]
            data = data[:total]
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._bad_request("it asks for a tunnel, and this is not a proxy")
            return
        except httptools.HttpParserError as error:
            self._bad_request(str(error))
            return
        if surplus >= 0:
            known = self.gateway.lines.get(data[: data.find(b"\r\n")])
            if known is not None:
                # A request line that was seen before is a route of inference that needs no rewriting.
                self._infer(*known, data, data[end + 4 :])
            else:
                self._dispatch(data, end)
            return
        self._total = total
        self._parts = [data]
        self._read = len(data)
        if self._take_budget(len(data)):
            self._since_now(BODY)

    def _incomplete_head(self, data: bytes) -> None:
        limits = self.gateway.limits
        if len(data) > limits.max_head_bytes:
            message = f"The request's headers are larger than {limits.max_head_bytes} bytes."
            self._fail_and_close(Failure(431, "headers_too_large", message))
            return
        if data[:1] == b"\x16":
            self._bad_request("it is TLS; this port speaks plain HTTP, so use http:// instead of https://")
            return
        if data[:14] == b"PRI * HTTP/2.0":
            self._bad_request("it is HTTP/2; this port speaks HTTP/1.1")
            return
        self._buffer = data
        if self.state == IDLE:
            self._since_now(HEAD)

    def _start_special(self, data: bytes, end: int, length: int) -> None:
        """A head with something for this hop: check it as it is, then build what goes on."""
        limit = self.gateway.max_request_bytes
        lines = data[:end].split(b"\r\n")
        headers = [line.partition(b":") for line in lines[1:]]
        values = {name.lower(): value.strip().lower() for name, _, value in headers}
        connection = {
            token.strip()
            for name, _, value in headers
            if name.lower() == b"connection"
            for token in value.lower().split(b",")
        }
        chunked = b"transfer-encoding" in values
        # An upgrade is not taken (RFC 9110 7.8 allows that); the parser would stop at it, so it is shown the rest.
        checked = [line for line in lines[1:] if line.partition(b":")[0].lower() not in (b"upgrade", b"http2-settings")]
        head = b"\r\n".join([lines[0], *checked]) + b"\r\n\r\n"
        collector = _BodyCollector(limit)
        parser = httptools.HttpRequestParser(collector)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._bad_request("it asks for a tunnel, and this is not a proxy")
            return
        except httptools.HttpParserError as error:
            self._bad_request(str(error))
            return
        if length > limit:
            self._too_large(length)
            return
        if b"close" in connection:
            self._close = True
            self.plain = False
        dropped = _HOP | connection
        kept = [line for line in lines[1:] if line.partition(b":")[0].lower() not in dropped]
        self._head = b"\r\n".join([lines[0], *kept]) + b"\r\n"
        rest = data[end + 4 :]
        if not chunked and len(rest) >= length:
            self._pending = rest[length:]
            self._dispatch_rebuilt(rest[:length])
            return
        if values.get(b"expect") == b"100-continue" and not rest:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._parser = parser
        self._collector = collector
        self._read = 0
        self._since_now(BODY)
        if rest:
            self._collect(collector, rest)

    def _more_body(self, data: bytes) -> None:
        collector = self._collector
        if collector is not None:
            self._collect(collector, data)
            return
        surplus = self._read + len(data) - self._total
        piece = data[: len(data) - surplus] if surplus > 0 else data
        self._parts.append(piece)
        self._read += len(piece)
        assert self._parser is not None
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError as error:
            self._bad_request(str(error))
            return
        if surplus < 0:
            self._take_budget(len(piece))
            return
        parts, self._parts = self._parts, []
        self._pending = data[len(piece) :]
        message = b"".join(parts)
        self._dispatch(message, message.find(b"\r\n\r\n"))

    def _collect(self, collector: _BodyCollector, data: bytes) -> None:
        """The body of a head that was rebuilt; it may be chunked."""
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # in a pipelined request, which is not looked at here
            collector.surplus = True
        except httptools.HttpParserError as error:
            if not collector.complete:
                self._bad_request(str(error))
                return
            collector.surplus = True
        if collector.size > collector.limit:
            self._too_large(collector.size)
            return
        if not collector.complete:
            fresh = collector.size - self._read
            self._read = collector.size
            self._take_budget(fresh)
            return
        if collector.surplus:
            # Where the next request starts is lost in the parser: this connection ends after its answer.
            self._close = True
            self.plain = False
        self._parser = None
        self._collector = None
        self._dispatch_rebuilt(b"".join(collector.parts))

    def _pipeline(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) > self.gateway.limits.max_head_bytes and not self._read_paused:
            self._read_paused = True
            self.transport.pause_reading()

    def _account_for(self, payload: bytes) -> bool:
        """Keep memory for a large request until its payload is dropped. False: there is none left, which was said here."""
        # Its answer takes the general path, which gives back at its end: small requests do not even ask.
        self.plain = False
        return self._take_budget(len(payload))

    def drop_payload(self) -> None:
        """The request will not be sent again."""
        self.payload = b""
        if self._reserved:
            self._return_budget()

    def _take_budget(self, size: int) -> bool:
        """Bodies that are being read, and large requests until they are dropped, share one budget."""
        if not self.gateway.take_budget(size):
            message = "The gateway holds as many request bodies as it has memory for. Retry later."
            self._fail_and_close(Failure(503, "no_capacity", message, retry_after=1))
            return False
        self._reserved += size
        return True

    def _return_budget(self) -> None:
        if self._reserved:
            self.gateway.take_budget(-self._reserved)
            self._reserved = 0

    # ---------------------------------------------------------------- deciding

    def _dispatch_rebuilt(self, body: bytes) -> None:
        head, self._head = self._head, b""
        message = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
        self._dispatch(message, len(message) - len(body) - 4)

    def _dispatch(self, message: bytes, end: int) -> None:
        """A whole request is here, in the form that a backend may see: route it. ``end`` is where its head ends."""
        if self._reserved:
            self._return_budget()
        line = message[: message.find(b"\r\n")]
        method, target, version = line.split(b" ", 2) if line.count(b" ") >= 2 else (b"GET", line, b"HTTP/0.9")
        if version != b"HTTP/1.1":
            if version != b"HTTP/1.0":
                self._bad_request(f"its version is {version.decode(errors='replace')}; this port speaks HTTP/1.1")
                return
            self.old_http = self._close = True
            self.plain = False
        if method == b"HEAD":
            self.bodiless = True
            self.plain = False
        gateway = self.gateway
        if gateway.draining:
            self._close = True
            self.plain = False
        route, service, rewritten = gateway.resolve(target)
        if route is None:
            shown = target.decode(errors="replace")[:200]
            text = f"There is no {shown} here. Inference is under /v1/ or /MODEL/v1/."
            self.refuse(gateway.starting or Failure(404, "unknown_path", text))
            return
        if method not in route.methods:
            allowed = b", ".join(route.methods).decode()
            message_text = f"{method.decode()} is not a method of {route.path.decode()}; use {allowed}."
            self.refuse(Failure(405, "method_not_allowed", message_text, allow=allowed))
            return
        if route.kind is Kind.LOCAL:
            service, agreed = self._pin(service)
            if agreed:
                self._answer_locally(route, service, rewritten or target)
            return
        payload = message
        if rewritten is not None or self.old_http:
            payload = b"%b %b HTTP/1.1%b" % (method, rewritten or target, message[len(line) :])
        if route.kind is Kind.PASS:
            self._pass(service, route, payload)
            return
        if payload is message and not gateway.draining:
            gateway.remember_line(line, route, service)
        self._infer(route, service, payload, message[end + 4 :])

    def _pin(self, service: Service | None) -> tuple[Service | None, bool]:
        """The service that the Host header names, else the one of the path; False when they differ (refused here)."""
        pinned = self.gateway.pinned(self._host)
        if pinned is None or service is pinned:
            return service, True
        if service is None:
            return pinned, True
        text = f"The host is the model `{pinned.config.name}`, the path `{service.config.name}`; use one of them."
        self.refuse(Failure(404, "model_mismatch", text))
        return None, False

    def _infer(self, route: Route, service: Service | None, payload: bytes, body: bytes) -> None:
        gateway = self.gateway
        pinned = gateway.host_memo.get(self._host, gateway)
        if pinned is not None:  # not known to pin nothing
            service, agreed = self._pin(service)
            if not agreed:
                return
        self.route = route
        form = route.form and _CONTENT_TYPE.search(payload, 0, len(payload) - len(body)) is not None
        try:
            fields = read_form(body) if form else read_json(body)
        except BadBody as error:
            self._bad_body(error)
            return
        model = fields.model
        if service is None:
            service = gateway.by_model.get(model) if model.__class__ is str else None
            if service is None:
                service = self._only_service(model)
                if service is None:
                    return
        if model != service.name and model.__class__ is str and model in service.config.aliases:
            try:
                body = rename_form_model(body, service.name) if form else rename_model(body, service.name)
            except BadBody as error:  # it is looked at more closely than for its fields
                self._bad_body(error)
                return
            payload = _with_body(payload, body)
        if len(body) > service.small_body:
            limit = service.config.limits.max_request_bytes
            if len(body) > limit:
                self._too_large(len(body), limit)
                return
            if not self._account_for(payload):
                return
        self.service = service
        self.stream = fields.stream is True and route.streams
        self.payload = payload
        service.admit(self)

    def _bad_body(self, error: BadBody) -> None:
        self.refuse(Failure(400, "bad_body", f"The request body is not a JSON object: {error}.", param="body"))

    def _only_service(self, model: object) -> Service | None:
        """The service of a body that names none; refuses the request when that is not clear."""
        services = self.gateway.by_model
        if (starting := self.gateway.starting) is not None:
            self.refuse(starting)
            return None
        if not isinstance(model, str) or not model:
            if len(self.gateway.services) == 1:
                return next(iter(self.gateway.services.values()))
            text = "The request names no model, and there are several here. Set `model` to one of: "
            self.refuse(Failure(400, "no_model", text + ", ".join(sorted(services)) + ".", param="model"))
            return None
        names = ", ".join(sorted(services)) or "none"
        text = f"The model `{model[:200]}` does not exist. Valid names: {names}."
        self.refuse(Failure(404, "model_not_found", text, param="model"))
        return None

    def _pass(self, service: Service | None, route: Route, payload: bytes) -> None:
        """A request for an engine that is not inference: served by a ready backend, never a reason to wake one."""
        service, agreed = self._pin(service)
        if not agreed:
            return
        self.route = route
        if service is None:
            service = self._only_service(None)
            if service is None:
                return
        if not service.usable:
            text = f"The model `{service.config.name}` sleeps, and this path does not wake it. Send it an inference request first."
            self.refuse(Failure(503, "cold_no_wake", text))
            return
        if len(payload) > service.small_body and not self._account_for(payload):
            return
        self.service = service
        self.payload = payload
        service.admit(self)

    def _answer_locally(self, route: Route, service: Service | None, path: bytes) -> None:
        found = self.gateway.answer(route.path, service, path)
        if isinstance(found, Failure):
            self.refuse(found)
            return
        status, content_type, body = found
        head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (status, content_type, len(body))
        if self._close:
            head += b"Connection: close\r\n"
        self.transport.write(head + b"\r\n" + (b"" if self.bodiless else body))
        self._next()

    # ---------------------------------------------------------------- policy's view (service.Request)

    @property
    def size(self) -> int:
        return len(self.payload)

    def hold(self, heartbeat: bytes) -> None:
        self._since_now(HELD)
        self.plain = False
        if self.stream and not self.committed and not self.old_http:
            self.committed = True
            self._chunked = True
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
                b"X-Accel-Buffering: no\r\nX-Hearth-Cold-Start: true\r\n"
                b'Server-Timing: hearth-wait;desc="held"\r\nTransfer-Encoding: chunked\r\n'
                + (b"Connection: close\r\n" if self._close else b"")
                + b"\r\n"
                + heartbeat
            )

    def heartbeat(self, frame: bytes) -> None:
        # A client that does not read gets no further heartbeats into its buffer.
        if self.committed and not self._writing_paused:
            self.transport.write(frame)

    def forward(self, backend: Backend) -> None:
        self.backend = backend
        self.state = SENT
        service = self.service
        assert service is not None
        self.since = service.last_request or 0.0
        pool = backend.pool
        if pool and not self.fresh:
            upstream = self.upstream = pool.pop()
            upstream.client = self
            if self._writing_paused:
                self.pause_writing()
            upstream.transport.write(self.payload)
        else:
            self.gateway.connect(self, backend)

    def refuse(self, failure: Failure) -> None:
        service = self.service
        if service is not None:
            self.gateway.count(service, failure.status)
        if self.committed:
            flavor = self.route.flavor if self.route is not None else "openai"
            self.transport.write(sse.chunk(sse.error_event(failure, flavor)) + sse.LAST_CHUNK)
        else:
            response = failure.response(close=self._close)
            self.transport.write(response[: response.find(b"\r\n\r\n") + 4] if self.bodiless else response)
        self.plain = False
        self._next()

    # ---------------------------------------------------------------- the backend's view

    def waits_for(self, backend: Backend, serial: int) -> bool:
        """Whether a connection to ``backend`` is still wanted for the request with that number."""
        return self.state == SENT and self.backend is backend and self.serial == serial and self.upstream is None

    def connected(self, upstream: Upstream) -> None:
        """A new connection for this request."""
        self.upstream = upstream
        if self._writing_paused:
            self.pause_writing()
        upstream.client = self
        upstream.transport.write(self.payload)

    def connect_failed(self, backend: Backend, why: str, *, exhausted: bool) -> None:
        """Nothing was sent, so nothing is lost: another backend, or back into the queue."""
        service = self.service
        assert service is not None
        if exhausted:
            service.done(backend)
            self._report(Failure(503, "no_capacity", f"The gateway cannot open connections: {why}.", retry_after=1))
            return
        service.mark_suspect(backend)
        self._again(service, backend, why)

    def upstream_lost(self, upstream: Upstream, why: str) -> None:
        """The connection ended before the answer did."""
        service, backend = self.service, upstream.backend
        assert service is not None
        self.upstream = None
        if not self.replayed and (self.state == SENT or self._has_only_head(upstream)):
            self.replayed = self.fresh = True
            if not upstream.pooled or self.gateway.now() - self.since > STALE:
                # It did not just close an idle connection, it is likely to be dying; and a port may accept for a while after
                # its process died, when a child of it inherited the socket. A probe tells whether it still answers.
                service.mark_suspect(backend)
            self._again(service, backend, why)
            return
        service.done(backend)
        again = ", also on the second attempt" if self.replayed and self.state == SENT else ""
        text = f"The backend of `{service.config.name}` broke off{again}: {why}."
        self._report(Failure(502, "backend_failed", text))

    def _has_only_head(self, upstream: Upstream) -> bool:
        """Whether the client knows no more than that a stream begins: vLLM sends the head of a stream before its first token."""
        if self.state != ANSWERING or not self.payload or not self._chunked or upstream.status != 200 or upstream.last:
            return False
        self.committed = True
        return True

    def upstream_broken(self, upstream: Upstream, why: str) -> None:
        """The backend does not speak HTTP."""
        service = self.service
        assert service is not None
        self.upstream = None
        service.done(upstream.backend)
        self._report(
            Failure(502, "backend_failed", f"The backend of `{service.config.name}` cannot be understood: {why}.")
        )

    def _again(self, service: Service, backend: Backend, why: str) -> None:
        assert self.route is not None
        if self.route.kind is Kind.PASS and not service.usable:
            service.done(backend)
            text = f"The backend of `{service.config.name}` is gone ({why}), and this path does not wake another."
            self._report(Failure(503, "cold_no_wake", text))
            return
        self.backend = None
        self.upstream = None
        service.retry(self, backend)

    def timed_out(self, seconds: float) -> None:
        """The backend was silent for too long."""
        service = self.service
        assert service is not None
        text = f"The backend of `{service.config.name}` sent nothing for {seconds:g} s."
        self._give_up(service, Failure(504, "backend_timeout", text))

    def drain(self) -> None:
        """The answer that is waited for says that it is the last one on this connection, if its head is not written yet.

        Requests that come later find out by themselves.
        """
        if self.state in (HELD, SENT) and not self.committed:
            self._close = True
            self.plain = False

    def close_idle(self) -> None:
        """Close it if there is no request on it."""
        if self.state == IDLE:
            self.transport.close()

    def stop(self, failure: Failure) -> None:
        """The gateway waits no longer: a request on its way here or at a backend ends with ``failure``."""
        if self.state in (SENT, ANSWERING):
            assert self.service is not None
            self._give_up(self.service, failure)
        elif self.state in (HEAD, BODY):
            self._fail_and_close(failure)

    def _give_up(self, service: Service, failure: Failure) -> None:
        assert self.backend is not None
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None
        service.done(self.backend)
        self._report(failure)

    def _report(self, failure: Failure) -> None:
        """A failure after the request was sent, in whatever form the client can still understand."""
        if self.state == SENT:
            self.refuse(failure)
            return
        service = self.service
        assert service is not None
        self.gateway.count(service, failure.status)
        streaming = self.route is not None and self.stream and not self.torn
        if streaming and (self._chunked or self.old_http):
            assert self.route is not None
            event = sse.error_event(failure, self.route.flavor)
            self.transport.write(sse.chunk(event) + sse.LAST_CHUNK if self._chunked else event)
            self._next()
        else:
            # The status is sent and no event can follow: an answer that stays incomplete is the only error left.
            self.state = CLOSED
            self.service = self.backend = None
            self.transport.abort()

    def begin(self, lines: list[bytes], length: int | None, *, sse: bool) -> None:
        """The head of an answer: write it, unless heartbeats were the head."""
        self.state = ANSWERING
        if not sse:
            self.drop_payload()  # else the sweep does it, when an event has come
        self.torn = False
        if self.committed:
            return
        self.stream = sse
        if sse:
            length = None  # an error event may have to follow what the backend announced
        head = [line for line in lines if line[:13].lower() != b"cache-control"] if sse else lines
        if sse:
            head += [b"Cache-Control: no-cache", b"X-Accel-Buffering: no"]
        if self.released:
            waited = self.released - self.admitted
            head += [b"X-Hearth-Cold-Start: true", b"Server-Timing: hearth-wait;dur=%d" % round(waited * 1000)]
        self._chunked = length is None and not self.bodiless and not self.old_http
        if length is not None:
            head.append(b"Content-Length: %d" % length)
        elif self._chunked:
            head.append(b"Transfer-Encoding: chunked")
        if self._close:
            head.append(b"Connection: close")
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n")

    def relay(self, body: bytes) -> None:
        """A piece of the answer's body."""
        self.transport.write(b"%x\r\n%b\r\n" % (len(body), body) if self._chunked else body)

    def relay_end(self, upstream: Upstream, status: int, last: bytes | None, tail: bytes) -> None:
        """The answer's body is complete.

        ``last``: the latest piece of a stream of events, None for other bodies; ``tail``: an event that was not finished.
        """
        assert self.route is not None
        flavor = self.route.flavor
        checked = last is not None and self.route.streams
        if tail and (not checked or sse.is_end(tail, flavor)):
            self.relay(tail + b"\n\n")
            last = tail
        if checked and not sse.is_end(last or b"", flavor):
            assert self.service is not None
            text = f"The backend of `{self.service.config.name}` ended the stream before its last event."
            event = sse.error_event(Failure(502, "backend_failed", text), flavor)
            self.relay(b"\n\n" + event if self.torn else event)
            status = 502
        if self._chunked:
            self.transport.write(sse.LAST_CHUNK)
        self.finished(upstream, status)

    def late_error(self, upstream: Upstream, status: int, body: bytes) -> None:
        """The backend's answer to a held stream is an error: its 200 is out, so it becomes an event."""
        assert self.route is not None
        event = sse.error_event_from(sse.late_error(status, body), self.route.flavor)
        self.transport.write(sse.chunk(event) + sse.LAST_CHUNK)
        self.finished(upstream, status)

    def finished(self, upstream: Upstream, status: int) -> None:
        """The request is answered; connection and backend are free for the next."""
        self.upstream = None
        backend = upstream.backend
        service = self.service
        assert service is not None
        if upstream.paused and not upstream.closed:
            upstream.paused = False
            upstream.transport.resume_reading()
        if upstream.reusable and not backend.removed:
            upstream.idle_sweeps = 0
            backend.pool.append(upstream)
        else:
            upstream.abort()
        codes = service.counters.codes
        codes[status] = codes.get(status, 0) + 1
        service.done(backend)
        self._next()

    def answered(self, upstream: Upstream) -> None:
        """The same for the common case: a 200 that was passed on whole, on connections that stay open."""
        backend = upstream.backend
        service = self.service
        assert service is not None
        self.upstream = self.service = self.backend = None
        self.state = IDLE
        self.payload = b""
        if backend.removed or upstream.paused:
            upstream.abort()
        else:
            upstream.idle_sweeps = 0
            backend.pool.append(upstream)
        service.counters.codes[200] += 1
        service.done(backend)
        if self._pending or self.replayed or self.gateway.closing:
            self._next()

    # ---------------------------------------------------------------- ends

    def _next(self) -> None:
        """Ready for the connection's next request."""
        if self.state == CLOSED:
            return
        self.state = IDLE
        self.service = self.backend = None
        self.drop_payload()
        if self._close or self.gateway.closing:
            self._shut()
            return
        if not self.plain or self.replayed or self.admitted:
            self._forget()
        if self._writing_paused:
            self._since_now(RESUMING)  # answers wait for their reader, and requests for their answers
        elif self._pending:
            # Not from here: a long row of pipelined requests must not become a deep stack.
            self._since_now(RESUMING)
            self.gateway.soon(self._resume)

    def _resume(self) -> None:
        if self.state != RESUMING or self._writing_paused:
            return
        self.state = IDLE
        pending, self._pending = self._pending, b""
        if self._read_paused:
            self._read_paused = False
            self.transport.resume_reading()
        if pending:
            self._start(pending)

    def _forget(self) -> None:
        """Drop what only a held, replayed or unusual request leaves behind."""
        self.plain = True
        self.committed = self.torn = self.replayed = self.fresh = self.bodiless = False
        self.old_http = self._chunked = self.stream = False
        self.admitted = self.released = 0.0
        self.route = None

    def _shut(self) -> None:
        self._since_now(CLOSED)  # and counted until the last byte is read
        if not self.transport.is_closing():
            self.transport.close()

    def _bad_request(self, why: str) -> None:
        self._fail_and_close(Failure(400, "bad_request", f"The request is not valid HTTP/1.1: {why}."))

    def _too_large(self, size: int, limit: int | None = None) -> None:
        limit = limit or self.gateway.max_request_bytes
        text = f"The request is {size} bytes or more, and the limit is {limit}. Send less, or raise limits.maxRequestBytes."
        self._fail_and_close(Failure(413, "request_too_large", text))

    def _fail_and_close(self, failure: Failure) -> None:
        """For requests after which the connection's framing cannot be trusted or is not worth reading."""
        self._return_budget()
        self.gateway.count_unrouted(failure)
        self.transport.write(failure.response(close=True))
        self.state = CLOSED
        self._buffer = self._head = self._pending = b""
        self._parts = []
        self._collector = None
        # Closing at once would reset the connection under a client that is still sending, and it would never see the answer.
        self.gateway.linger(self)

    def turn_away(self, failure: Failure) -> None:
        """Say why before a request was read, and close."""
        self._fail_and_close(failure)

    def read_timed_out(self, seconds: float) -> None:
        """The request did not arrive in time."""
        part = "headers" if self.state == HEAD else "body"
        text = f"The request's {part} did not arrive within {seconds:g} s."
        self._fail_and_close(Failure(408, "request_timeout", text))

    def read_seconds_allowed(self) -> float:
        """How long the request may take to arrive: a while for its head, and for a body at least 1 KiB/s."""
        limits = self.gateway.limits
        if self.state == HEAD:
            return limits.head_timeout_seconds
        return limits.body_timeout_seconds + self._read / 1024

    def _since_now(self, state: int) -> None:
        self.state = state
        self.since = self.gateway.now()


def _with_body(payload: bytes, body: bytes) -> bytes:
    """The same head with another body."""
    end = payload.find(b"\r\n\r\n")
    lines = [line for line in payload[:end].split(b"\r\n") if not line.lower().startswith(b"content-length:")]
    return b"\r\n".join(lines) + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


__all__ = ["ANSWERING", "BODY", "CLOSED", "HEAD", "HELD", "IDLE", "SENT", "Client"]
