"""Responses byte by byte: what the writer sends for each course that an exchange can take."""

from __future__ import annotations

from http.client import HTTPResponse
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway.http.response_head import ResponseHead
from hearth_gateway.http.response_writer import ResponseWriter, failure_response
from hearth_gateway.http.sse import Flavor
from hearth_gateway.policy.failure import Failure

texts = st.text(st.characters(exclude_categories=()), max_size=50)  # with surrogates: engines quote what users sent
statuses = st.sampled_from((400, 404, 405, 408, 413, 429, 431, 501, 502, 503, 504))


class Transport:
    """What was written."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def take(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent


def make_writer(**settings: bool) -> tuple[ResponseWriter, Transport]:
    transport = Transport()
    writer = ResponseWriter(transport)  # type: ignore[arg-type]
    for name, value in settings.items():
        setattr(writer, name, value)
    return writer, transport


def make_head(
    status: int = 200, *, length: int | None = None, chunked: bool = False, sse: bool = False
) -> ResponseHead:
    lines = [b"HTTP/1.1 %d X" % status, b"Cache-Control: private"]
    return ResponseHead(status, lines, length, chunked, keep=True, sse=sse)


FAILURE = Failure(503, "no_capacity", "None.")
DONE = b"data: [DONE]\n\n"
EVENT = b"data: {}\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


# ---------------------------------------------------------------- a backend's response


@pytest.mark.parametrize(
    ("head", "settings", "framing"),
    [
        (make_head(length=3), {}, b"Cache-Control: private\r\nContent-Length: 3\r\n"),
        (make_head(chunked=True), {}, b"Cache-Control: private\r\nTransfer-Encoding: chunked\r\n"),
        (make_head(), {}, b"Cache-Control: private\r\nTransfer-Encoding: chunked\r\n"),
        (
            make_head(chunked=True),
            {"old_http": True, "close": True},
            b"Cache-Control: private\r\nConnection: close\r\n",
        ),
        (make_head(length=3), {"bodiless": True}, b"Cache-Control: private\r\n"),
        (make_head(204), {}, b"Cache-Control: private\r\n"),
        (
            make_head(length=3, sse=True),  # an error event may have to follow
            {},
            b"Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n",
        ),
    ],
)
def test_heads(head: ResponseHead, settings: dict[str, bool], framing: bytes) -> None:
    writer, transport = make_writer(**settings)
    writer.begin(head, None)
    assert transport.sent == b"HTTP/1.1 %d X\r\n%b\r\n" % (head.status, framing)


def test_a_request_that_was_held_says_so() -> None:
    writer, transport = make_writer()
    writer.begin(make_head(length=0), 1.5)
    assert b"\r\nX-Hearth-Cold-Start: true\r\nServer-Timing: hearth-wait;dur=1500\r\n" in transport.sent


def test_bodies() -> None:
    for head, sent in ((make_head(length=3), b"abc"), (make_head(), chunk(b"abc") + LAST)):
        writer, transport = make_writer()
        writer.begin(head, None)
        transport.take()
        writer.relay(b"abc")
        writer.end()
        assert transport.sent == sent


@pytest.mark.parametrize(
    ("last", "tail", "flavor", "sent", "whole"),
    [
        (DONE, b"", "openai", b"", True),
        (EVENT, b"", "openai", b"", False),
        (EVENT, DONE.strip(), "openai", chunk(DONE), True),
        (EVENT, b"data: {", "openai", b"", False),
        (EVENT, b"data: {", None, chunk(b"data: {\n\n"), True),
        (EVENT, b"", None, b"", True),
    ],
)
def test_the_end_of_a_stream(last: bytes, tail: bytes, flavor: Flavor | None, sent: bytes, whole: bool) -> None:
    writer, transport = make_writer()
    writer.begin(make_head(sse=True), None)
    transport.take()
    assert writer.end_events(last, tail, flavor) == whole
    assert transport.sent == sent


# ---------------------------------------------------------------- a stream that is held


def test_a_held_stream() -> None:
    writer, transport = make_writer(close=True)
    writer.hold("m is starting")
    head, _, rest = transport.take().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\nConnection: close")
    assert rest == chunk(b": m is starting\n")
    writer.heartbeat("soon\nnow")
    assert transport.take() == chunk(b": soon now\n")
    writer.begin(make_head(sse=True), 3.0)
    assert transport.take() == b""
    writer.relay(EVENT)
    assert transport.take() == chunk(EVENT)


def test_a_late_error_becomes_an_event() -> None:
    writer, transport = make_writer()
    writer.hold("m is starting")
    transport.take()
    writer.begin(make_head(400, length=2), None)
    writer.late_error(400, b'{"error": {"message": "No."}}', "openai")
    assert transport.sent.endswith(LAST)
    assert b'data: {"error": {"message": "No."' in transport.sent


# ---------------------------------------------------------------- failures


def test_a_refusal_in_every_form() -> None:
    writer, transport = make_writer()
    writer.refuse(FAILURE, "openai")
    assert transport.take() == failure_response(FAILURE, close=False)
    writer, transport = make_writer(bodiless=True, close=True)
    writer.refuse(FAILURE, "openai")
    assert transport.take() == failure_response(FAILURE, close=True).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    writer, transport = make_writer()
    writer.hold("m is starting")
    transport.take()
    writer.refuse(FAILURE, "openai")
    assert transport.take() == chunk(b"data: " + FAILURE.body() + b"\n\n") + LAST


@pytest.mark.parametrize("old", [False, True])
def test_a_failure_in_a_stream_is_an_event(old: bool) -> None:
    writer, transport = make_writer(old_http=old)
    writer.begin(make_head(sse=True), None)
    writer.relay(EVENT)
    transport.take()
    assert writer.fail(FAILURE, "openai")
    event = b"data: " + FAILURE.body() + b"\n\n"
    assert transport.take() == (event if old else chunk(event) + LAST)


def test_a_failure_that_no_client_would_understand() -> None:
    """In the middle of a body or of an event: an incomplete response is the only error left."""
    for head in (make_head(length=3), make_head(chunked=True), make_head(sse=True)):
        writer, transport = make_writer()
        writer.begin(head, None)
        if head.sse:
            writer.relay_torn(b"data: {")
        transport.take()
        assert not writer.fail(FAILURE, "openai")
        assert transport.sent == b""


def test_an_error_behind_a_torn_event_begins_with_its_end() -> None:
    for torn in (False, True):
        writer, transport = make_writer()
        writer.begin(make_head(sse=True), None)
        (writer.relay_torn if torn else writer.relay)(EVENT)
        transport.take()
        writer.append_error(FAILURE, "openai")
        assert transport.sent == chunk(b"\n\n" * torn + b"data: " + FAILURE.body() + b"\n\n")


def test_an_answer_of_the_gateway_itself() -> None:
    for settings, end in (
        ({}, b"\r\nok\n"),
        ({"bodiless": True}, b"\r\n"),
        ({"close": True}, b"Connection: close\r\n\r\nok\n"),
    ):
        writer, transport = make_writer(**settings)
        writer.answer(b"ok\n", b"text/plain", b"200 OK")
        assert transport.sent == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n" + end


class _Socket:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> BytesIO:
        return BytesIO(self._data)


def parse(data: bytes) -> tuple[HTTPResponse, bytes]:
    response = HTTPResponse(_Socket(data))  # type: ignore[arg-type]
    response.begin()
    return response, response.read()


@given(statuses, texts, st.none() | st.integers(1, 55), st.none() | st.just("GET, HEAD"), st.booleans())
def test_a_refusal_is_http(status: int, message: str, wait: int | None, allow: str | None, close: bool) -> None:
    failure = Failure(status, "queue_full", message, retry_after=wait, allow=allow)
    response, body = parse(failure_response(failure, close=close))
    assert response.status == status
    assert response.reason
    assert body == failure.body()
    assert response.getheader("X-Hearth-Reason") == "queue_full"
    assert response.getheader("Retry-After") == (None if wait is None else str(wait))
    assert response.getheader("Allow") == allow
    assert response.getheader("Connection") == ("close" if close else None)
    assert response.getheader("Content-Type") == "application/json"
