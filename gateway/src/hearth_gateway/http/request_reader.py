"""Reader of the requests on one client connection: bytes in, whole requests out, no I/O.

`RequestReader.feed` takes what was read and returns a request once it is whole, in the form that a backend may see. The head is
found in the read buffer, judged by llhttp (httptools, strict mode) and passed on as it came; only a head that says something
about this hop is rebuilt without that. Bodies are read to their end, within a budget: that makes replays possible, and keeps
a slow sender from occupying a backend. What is wrong with a request ends the connection, as a RequestError with the
refusal: a length that differs from the parser's, or guessing where the next request starts, would allow request smuggling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import httptools

from hearth_gateway.limits import RequestBudget
from hearth_gateway.policy.failure import Failure

IDLE, HEAD, BODY = range(3)
"""What was read of a request: nothing, part of its head, part of its body."""

_SPECIAL: Final = re.compile(
    rb"\n(content-length|host|connection|transfer-encoding|expect|upgrade|http2-settings|keep-alive|te|trailer"
    rb"|proxy-connection|proxy-authorization|proxy-authenticate):[ \t]*([^\r]*)"
)
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


class RequestError(Exception):
    """A request that ends its connection with `failure`: its framing cannot be trusted, or the rest is not worth reading."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def bad_request(why: str) -> RequestError:
    """Return the error for what is not HTTP/1.1."""
    return RequestError(Failure(400, "bad_request", f"The request is not valid HTTP/1.1: {why}."))


def too_large(size: int, limit: int) -> RequestError:
    """Return the error for a body of `size` bytes."""
    text = f"The request is {size} bytes or more, and the limit is {limit}. Send less, or raise limits.maxRequestBytes."
    return RequestError(Failure(413, "request_too_large", text))


class RequestReader:
    """The requests of one connection. After a RequestError, or a request that is the `last`, feed it no more."""

    __slots__ = (
        "_body",
        "_budget",
        "_buffer",
        "_parser",
        "_reserved",
        "expects_continue",
        "head_end",
        "host",
        "last",
        "pending",
        "phase",
    )

    def __init__(self, budget: RequestBudget) -> None:
        self.phase = IDLE
        self.head_end = 0
        """Where the head of the request that `feed` returned ends."""
        self.host: bytes | None = None
        """Its Host header, in lower case."""
        self.last = False
        """Whether no other request follows: its sender says so, or where it would start is lost."""
        self.expects_continue = False
        """Whether the client waits for a `100 Continue`."""
        self.pending = b""
        """Bytes of requests that follow (pipelining)."""
        self._budget = budget
        self._reserved = 0
        self._buffer = b""  # an incomplete head
        self._body: _CountedBody | _RebuiltBody | None = None  # an incomplete body
        self._parser: httptools.HttpRequestParser | None = None

    def feed(self, data: bytes) -> bytes | None:
        """Return the next request when `data` completes it, else None. Raises RequestError."""
        if self.phase != IDLE:
            if self.phase == BODY:
                return self._feed_body(data)
            data = self._buffer + data
            self._buffer = b""
        if data[0] < 32:
            data = data.lstrip(b"\r\n")  # stray line ends before a request are allowed
            if not data:
                return None
        end = data.find(b"\r\n\r\n")
        budget = self._budget
        if end < 0 or end > budget.max_head_bytes:
            self._keep_head(data)
            return None
        length = 0
        host: bytes | None = None
        special = False
        for name, value in _SPECIAL.findall(data[:end].lower()):
            if name == b"content-length":
                # A length that differs from the parser's would allow request smuggling.
                length = int(value) if len(value) < 16 and value.isdigit() else _odd_length(value)
            elif name == b"host":
                if host is not None:
                    raise bad_request("it has two Host headers")
                host = value
            elif name != b"connection" or value != b"keep-alive":  # which says the same on the next hop
                special = True
        self.host = host
        if special:
            return self._rebuild(data, end, length)
        total = end + 4 + length
        surplus = len(data) - total
        if surplus < 0 and length > budget.max_request_bytes:
            raise too_large(length, budget.max_request_bytes)
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(_VERDICT)
        if surplus > 0:
            self.pending = data[total:]
            data = data[:total]
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise _tunnel() from None
        except httptools.HttpParserError as error:
            raise bad_request(str(error)) from error
        if surplus < 0:
            self._body = _CountedBody(parser, data, total)
            self.reserve(len(data))
            self.phase = BODY
            return None
        self.phase = IDLE
        self.head_end = end
        return data

    def _keep_head(self, data: bytes) -> None:
        limit = self._budget.max_head_bytes
        if len(data) > limit:
            message = f"The request's headers are larger than {limit} bytes."
            raise RequestError(Failure(431, "headers_too_large", message))
        if data[:1] == b"\x16":
            raise bad_request("it is TLS; this port speaks plain HTTP, so use http:// instead of https://")
        if data[:14] == b"PRI * HTTP/2.0":
            raise bad_request("it is HTTP/2; this port speaks HTTP/1.1")
        self._buffer = data
        self.phase = HEAD

    def _rebuild(self, data: bytes, end: int, length: int) -> bytes | None:
        """Take a head with something for this hop: check it as it is, then build what goes on."""
        limit = self._budget.max_request_bytes
        line, *rows = data[:end].split(b"\r\n")
        headers = [
            _Header(name.lower(), value.strip().lower(), row)
            for row in rows
            for name, _, value in [row.partition(b":")]
        ]
        values = {header.name: header.value for header in headers}
        collector = _BodyCollector(limit)
        parser = _parser_after(line, headers, collector)
        if length > limit:
            raise too_large(length, limit)
        connection = {
            token.strip() for header in headers if header.name == b"connection" for token in header.value.split(b",")
        }
        if b"close" in connection:
            self.last = True
        dropped = _HOP | connection
        kept = [header.row for header in headers if header.name not in dropped]
        body = _RebuiltBody(parser, collector, b"\r\n".join([line, *kept]) + b"\r\n")
        rest = data[end + 4 :]
        if b"transfer-encoding" not in values and len(rest) >= length:
            self.pending = rest[length:]
            return self._complete(body.with_head(rest[:length]))
        self.expects_continue = values.get(b"expect") == b"100-continue" and not rest
        self._body = body
        self.phase = BODY
        return self._feed_body(rest) if rest else None

    def _feed_body(self, data: bytes) -> bytes | None:
        body = self._body
        assert body is not None
        before = body.read
        message = body.feed(data)
        if message is None:
            self.reserve(body.read - before)
            return None
        self._body = None
        if isinstance(body, _CountedBody):
            self.pending = body.rest
        elif body.lost:
            self.last = True
        return self._complete(message)

    def _complete(self, message: bytes) -> bytes:
        self.phase = IDLE
        self.release()
        self.head_end = message.find(b"\r\n\r\n")
        return message

    @property
    def read(self) -> int:
        """Bytes read of an incomplete body."""
        return self._body.read if self._body is not None else 0

    def hold_back(self, data: bytes) -> bool:
        """Keep bytes that arrive before the last request is answered; return whether these are enough for now."""
        self.pending += data
        return len(self.pending) > self._budget.max_head_bytes

    def take_pending(self) -> bytes:
        """Return the bytes of requests that follow, to be fed again."""
        pending, self.pending = self.pending, b""
        return pending

    def reserve(self, size: int) -> None:
        """Take memory for a request until `release`. Raises RequestError when none is left."""
        if not self._budget.take(size):
            message = "The gateway's memory limit for request bodies is reached. Retry later."
            raise RequestError(Failure(503, "no_capacity", message, retry_after=1))
        self._reserved += size

    def release(self) -> None:
        """Give back what is reserved."""
        if self._reserved:
            self._budget.give_back(self._reserved)
            self._reserved = 0

    def park(self) -> None:
        """Free what the next request makes again: this one may wait for minutes, beside thousands."""
        self._parser = None
        self.host = None

    def discard(self) -> None:
        """Drop everything: nothing is read any more."""
        self.release()
        self._buffer = self.pending = b""
        self._body = None
        self._parser = None


class _Header(NamedTuple):
    """A header of a request."""

    name: bytes
    """In lower case."""
    value: bytes
    """In lower case, without surrounding white space."""
    row: bytes
    """As it came."""


class _CountedBody:
    """A request of known length whose head goes on as it came, and whose end is not read yet."""

    __slots__ = ("_parser", "_parts", "_total", "read", "rest")

    def __init__(self, parser: httptools.HttpRequestParser, begin: bytes, total: int) -> None:
        self.read = len(begin)
        self.rest = b""
        self._parser = parser
        self._parts = [begin]
        self._total = total

    def feed(self, data: bytes) -> bytes | None:
        missing = self._total - self.read
        piece = data[:missing]
        self._parts.append(piece)
        self.read += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError as error:
            raise bad_request(str(error)) from error
        if self.read < self._total:
            return None
        self.rest = data[missing:]
        return b"".join(self._parts)


class _RebuiltBody:
    """The body of a request whose head was rebuilt; it may be chunked, and goes on with a length."""

    __slots__ = ("_collector", "_head", "_parser", "lost", "read")

    def __init__(self, parser: httptools.HttpRequestParser, collector: _BodyCollector, head: bytes) -> None:
        self.read = 0
        self.lost = False
        """Whether bytes of another request followed. Where it starts is known to the parser alone."""
        self._parser = parser
        self._collector = collector
        self._head = head

    def feed(self, data: bytes) -> bytes | None:
        collector = self._collector
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # in a pipelined request, which is not looked at here
            self.lost = True
        except httptools.HttpParserError as error:
            if not collector.complete:
                raise bad_request(str(error)) from error
            self.lost = True
        if collector.size > collector.limit:
            raise too_large(collector.size, collector.limit)
        self.read = collector.size
        if not collector.complete:
            return None
        self.lost = self.lost or collector.surplus
        return self.with_head(b"".join(collector.parts))

    def with_head(self, body: bytes) -> bytes:
        """Return the whole request."""
        return b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body)


class _BodyCollector:
    """Callbacks of the parser for a body."""

    def __init__(self, limit: int) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.limit = limit
        self.complete = False
        self.surplus = False

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


class _Verdict:
    """No callbacks: only the parser's verdict is wanted. One call per header is a third of the cost of a request."""


_VERDICT = _Verdict()


def _parser_after(line: bytes, headers: Iterable[_Header], collector: _BodyCollector) -> httptools.HttpRequestParser:
    """Return a parser that has accepted this head. Raises RequestError.

    An upgrade is not taken (RFC 9110 7.8 allows that); the parser would stop at it, so it is shown the rest.
    """
    shown = [header.row for header in headers if header.name not in (b"upgrade", b"http2-settings")]
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(b"\r\n".join([line, *shown]) + b"\r\n\r\n")
    except httptools.HttpParserUpgrade:
        raise _tunnel() from None
    except httptools.HttpParserError as error:
        raise bad_request(str(error)) from error
    return parser


def _tunnel() -> RequestError:
    return bad_request("it asks for a tunnel, and this is not a proxy")


def _odd_length(value: bytes) -> int:
    """Return a Content-Length with white space or leading zeros; what the parser refuses is 0 here."""
    value = value.strip(b" \t").lstrip(b"0")
    return int(value) if value.isdigit() and len(value) <= 20 else 0
