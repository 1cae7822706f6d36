"""The reader of requests: bytes in, requests out, cut anywhere. No gateway, no sockets."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth_gateway.http.request_reader import BODY, HEAD, IDLE, RequestError, RequestReader
from hearth_gateway.limits import GatewayLimits, RequestBudget

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: M.example\r\nContent-Length: 2\r\n\r\n{}"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n"
)
HOP = (
    b"POST / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Mine\r\nTE: trailers\r\nX-Mine: 1\r\nX: 2\r\n"
    b"Content-Length: 1\r\n\r\nz"
)
CLOSE = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nz"
EXPECT = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
UPGRADE = (
    b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n"
    b"Content-Length: 1\r\n\r\nz"
)
OLD = b"POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\n0\r\n\r"

OUT = {
    POST: POST,
    GET: GET,
    CHUNKED: b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
    HOP: b"POST / HTTP/1.1\r\nHost: x\r\nX: 2\r\nContent-Length: 1\r\n\r\nz",
    CLOSE: b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nz",
    EXPECT + b"abc": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    UPGRADE: b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nz",
    OLD: OLD,
}
"""What a client sends, and the request that a backend gets."""


def make_reader(max_request_bytes: int = 1000, **limits: int) -> RequestReader:
    budget = RequestBudget(GatewayLimits(**limits))
    budget.max_request_bytes = max_request_bytes
    return RequestReader(budget)


def feed(reader: RequestReader, pieces: Iterable[bytes]) -> list[bytes]:
    """Return the requests in these reads, as a connection would take them."""
    found: list[bytes] = []
    for piece in pieces:
        if reader.last and found:
            break
        message = reader.feed(piece)
        while message is not None:
            found.append(message)
            message = reader.feed(rest) if (rest := reader.take_pending()) else None
    return found


def refusal(data: bytes, **limits: int) -> tuple[int, str, str]:
    with pytest.raises(RequestError) as error:
        feed(make_reader(**limits), [data])
    failure = error.value.failure
    return failure.status, failure.reason, failure.message


@pytest.mark.parametrize("sent", OUT)
def test_a_request_in_one_read(sent: bytes) -> None:
    reader = make_reader()
    message = reader.feed(sent)
    assert message == OUT[sent]
    assert message[reader.head_end :].startswith(b"\r\n\r\n")
    assert (reader.phase, reader.pending, reader.last) == (IDLE, b"", sent == CLOSE)


def test_a_request_of_the_common_kind_is_passed_on_as_it_came() -> None:
    assert make_reader().feed(POST) is POST


@pytest.mark.parametrize("sent", OUT)
def test_a_request_cut_at_every_byte(sent: bytes) -> None:
    for cut in range(1, len(sent)):
        reader = make_reader()
        assert reader.feed(sent[:cut]) is None, cut
        assert reader.phase == (HEAD if cut < sent.index(b"\r\n\r\n") + 4 else BODY)
        message = reader.feed(sent[cut:])
        assert message == OUT[sent], cut
        assert message[reader.head_end :].startswith(b"\r\n\r\n")
        assert (reader.phase, reader.read, reader._budget.used) == (IDLE, 0, 0)


@pytest.mark.parametrize("sent", OUT)
def test_a_request_in_single_bytes(sent: bytes) -> None:
    assert feed(make_reader(), [bytes([byte]) for byte in sent]) == [OUT[sent]]


@given(st.lists(st.sampled_from([POST, GET, HOP]), min_size=1, max_size=4), st.data())
def test_requests_in_a_row_are_the_same_however_they_are_cut(sent: list[bytes], data: st.DataObject) -> None:
    """Request smuggling begins where two readers of the same bytes see other requests in them."""
    whole = b"".join(sent)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=6)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    reader = make_reader()
    found = feed(reader, pieces)
    assert found == [OUT[each] for each in sent[: len(found)]]
    assert len(found) == len(sent) or reader.last  # behind a body that the parser had to find the end of


@given(st.lists(st.sampled_from([POST, GET, b"\r\n" + POST]), min_size=1, max_size=4), st.data())
def test_requests_of_the_common_kind_in_a_row_are_all_found(sent: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(sent)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=6)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert feed(make_reader(), pieces) == [each.lstrip() for each in sent]


def test_what_follows_a_request_is_kept_for_later() -> None:
    reader = make_reader()
    assert reader.feed(POST + GET[:10]) == POST
    assert not reader.hold_back(GET[10:])
    assert reader.take_pending() == GET
    assert reader.pending == b""


def test_a_pipeline_that_is_long_enough() -> None:
    reader = make_reader(max_head_bytes=100)
    assert not reader.hold_back(bytes(100))
    assert reader.hold_back(b"x")


@pytest.mark.parametrize("extra", [GET, b"BREW", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_nothing_is_read_behind_a_chunked_body(extra: bytes) -> None:
    """Where the next request starts is known to the parser alone, and guessing would allow request smuggling."""
    reader = make_reader()
    assert reader.feed(CHUNKED + extra) == OUT[CHUNKED]
    assert reader.last
    assert reader.pending == b""


def test_line_ends_before_a_request() -> None:
    reader = make_reader()
    assert reader.feed(b"\r\n") is None
    assert reader.phase == IDLE
    assert reader.feed(b"\r\n\r\n" + GET) == GET


def test_the_host_is_in_lower_case() -> None:
    reader = make_reader()
    reader.feed(POST)
    assert reader.host == b"m.example"
    reader.feed(OLD)
    assert reader.host is None


def test_a_client_that_waits_for_100_continue() -> None:
    reader = make_reader()
    assert reader.feed(EXPECT) is None
    assert reader.expects_continue
    other = make_reader()
    assert other.feed(EXPECT + b"a") is None
    assert not other.expects_continue  # it does not wait


@pytest.mark.parametrize("length", [b"02", b"2 ", b"\t2", b"002"])
def test_lengths_that_are_odd_but_right(length: bytes) -> None:
    sent = POST.replace(b"Content-Length: 2", b"Content-Length: " + length)
    assert feed(make_reader(), [sent + GET]) == [sent, GET]


HOSTILE = {
    "no method": b"\x00\x01\r\n\r\n",
    "a header for a request line": b"Upgrade: x\r\nPOST / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a token for a request line": b"Connection: close\r\nPOST / HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": POST.replace(b"Host", b"Content-Length: 3\r\nHost"),
    "a length and chunks": CHUNKED.replace(b"Host", b"Content-Length: 3\r\nHost"),
    "chunks after a length": POST.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "chunks that are not last": CHUNKED.replace(b": chunked", b": chunked, gzip"),
    "a signed length": POST.replace(b": 2", b": +2"),
    "a length of two": POST.replace(b": 2", b": 2, 2"),
    "a blank before the colon": POST.replace(b"Content-Length:", b"Content-Length :"),
    "a folded header": POST.replace(b": 2", b":\r\n 2"),
    "a bare line feed": POST.replace(b"\r\nContent", b"\nContent"),
    "a bad chunk size": CHUNKED.replace(b"3\r\nabc", b"0x3\r\nabc"),
    "two hosts": POST.replace(b"Host", b"Host: a\r\nHost"),
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_http(sent: bytes) -> None:
    status, reason, message = refusal(sent)
    assert (status, reason) == (400, "bad_request")
    assert message.startswith("The request is not valid HTTP/1.1: ")


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE)
def test_what_is_not_http_in_single_bytes(sent: bytes) -> None:
    with pytest.raises(RequestError):
        feed(make_reader(), [bytes([byte]) for byte in sent])


def test_a_head_that_is_too_large() -> None:
    whole = b"GET / HTTP/1.1\r\nX: " + b"y" * 200 + b"\r\n\r\n"
    for data in (whole, whole[:150]):
        assert refusal(data, max_head_bytes=100)[:2] == (431, "headers_too_large")
    assert feed(make_reader(max_head_bytes=300), [whole]) == [whole]


@pytest.mark.parametrize("sent", [POST, CHUNKED, HOP], ids=["counted", "chunked", "rebuilt"])
def test_a_body_that_is_too_large(sent: bytes) -> None:
    large = sent.replace(b"Content-Length: ", b"Content-Length: 999999")
    assert refusal(large, max_request_bytes=4)[:2] == (413, "request_too_large")


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("head", "counted"), [(b"", True), (b"Connection: close\r\n", False), (b"Expect: 100-continue\r\n", False)]
)
def test_an_incomplete_body_is_accounted_for_until_it_is_whole(head: bytes, counted: bool) -> None:
    reader = make_reader()
    budget = reader._budget
    start = b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"Content-Length: 100\r\n\r\n"
    assert reader.feed(start + bytes(10)) is None
    assert budget.used == reader.read == (len(start) + 10 if counted else 10)
    assert reader.feed(bytes(50)) is None
    assert budget.used == reader.read == (len(start) + 60 if counted else 60)
    assert reader.feed(bytes(40)) is not None
    assert (budget.used, reader.read) == (0, 0)


def test_bodies_share_one_budget() -> None:
    budget = RequestBudget(GatewayLimits(max_buffered_bytes=150))
    start = b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + bytes(60)
    first, second = RequestReader(budget), RequestReader(budget)
    assert first.feed(start) is None
    with pytest.raises(RequestError) as error:
        second.feed(start)
    assert (error.value.failure.status, error.value.failure.reason) == (503, "no_capacity")
    second.discard()
    assert budget.used == len(start)
    first.discard()
    assert budget.used == 0
    assert RequestReader(budget).feed(start) is None


def test_a_request_that_is_kept_is_accounted_for_until_it_is_released() -> None:
    reader = make_reader()
    assert reader.feed(POST) == POST
    reader.reserve(len(POST))
    assert reader._budget.used == len(POST)
    for _ in range(2):
        reader.release()
        assert reader._budget.used == 0


def test_a_parked_reader_reads_on() -> None:
    reader = make_reader()
    assert reader.feed(POST) == POST
    reader.park()
    assert reader.feed(POST) == POST


@given(
    st.lists(st.sampled_from([POST, CHUNKED, HOP, b"\r\n", b"0", b"\x00", b":"]) | st.binary(min_size=1), max_size=8)
)
def test_any_bytes_are_requests_or_refused(pieces: list[bytes]) -> None:
    reader = make_reader()
    with suppress(RequestError):
        feed(reader, pieces)
    reader.discard()
    assert reader._budget.used == 0
