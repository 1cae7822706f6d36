"""Heads of backends' responses: framing, and what a client may see of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway.http.response_head import MAX_HEAD, BadResponse, ResponseHead, read_head


def read(*lines: str, status: str = "HTTP/1.1 200 OK") -> ResponseHead:
    head, rest = read_head("\r\n".join([status, *lines, "", ""]).encode() + b"body")
    assert head is not None
    assert rest == b"body"
    return head


def test_headers_of_the_hop_stay_here() -> None:
    head = read("Date: x", "Connection: keep-alive", "Keep-Alive: 5", "Content-Length: 4", "Upgrade: h2c", "X: Y")
    assert head.lines == [b"HTTP/1.1 200 OK", b"Date: x", b"X: Y"]
    assert (head.status, head.length, head.chunked, head.keep, head.sse) == (200, 4, False, True, False)


def test_chunks_win_over_a_length() -> None:
    head = read("Content-Length: 4", "Transfer-Encoding: Chunked")
    assert (head.length, head.chunked) == (None, True)


@pytest.mark.parametrize(
    ("status", "header", "keep"),
    [
        ("HTTP/1.1 200 OK", "X: close", True),
        ("HTTP/1.1 200 OK", "Connection: x, Close", False),
        ("HTTP/1.0 200 OK", "Connection: keep-alive", False),
    ],
)
def test_connections_that_may_be_used_again(status: str, header: str, keep: bool) -> None:
    head = read(header, status=status)
    assert head.keep == keep
    assert head.lines[0] == b"HTTP/1.1 200 OK"


def test_a_stream_of_events() -> None:
    assert read("content-type: Text/Event-Stream; charset=utf-8").sse
    assert not read("content-type: application/json").sse


def test_interim_responses_are_skipped() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    head, rest = read_head(interim + b"HTTP/1.1 204 No Content\r\n\r\n")
    assert head is not None
    assert (head.status, rest) == (204, b"")
    assert read_head(interim + b"HTTP/1.1 2") == (None, b"HTTP/1.1 2")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"SSH-2.0-x\r\n\r\n", "which is not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "which is not HTTP"),
        (b"HTTP/1.1 99\r\n\r\n", "which is not HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "switches protocols"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_HEAD, "64 KiB"),
    ],
)
def test_responses_that_are_not_http(data: bytes, why: str) -> None:
    with pytest.raises(BadResponse, match=why):
        read_head(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\n"):
        try:
            whole = start + data + b"\r\n\r\n"
            head, rest = read_head(whole)
        except BadResponse:
            continue
        assert head is None or 200 <= head.status <= 599
        assert whole.endswith(rest)
