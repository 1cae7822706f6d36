"""What strangers send. Every case ends in a clear answer or a closed connection, and the gateway serves the next client."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import hearth_gateway.gateway as gateway_module
from hearth_gateway import GatewayLimits, connections
from hearth_gateway.http.client import RESUMING
from tests.gateway.support import CHAT, Backend, Call, Edge, answer, body, get, pieces, post, running
from tests.support.waiting import until

BODY = body()
START = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
SMUGGLED = get("/version")


async def alive(edge: Edge) -> None:
    """Others are served."""
    assert (await edge.ask(get("/healthz"))).body == b"ok\n"


@pytest.fixture
async def target(edge: Edge) -> AsyncIterator[Backend]:
    """Yield a backend that records what it is asked; at the end it has seen whole, sane requests only."""
    bodies: list[bytes] = []

    async def handler(call: Call) -> None:
        await call.read_body()
        bodies.append(call.body)
        call.send(answer())

    found = Backend(handler)
    await found.listen()
    edge.backends(found.port)
    found.bodies = bodies  # type: ignore[attr-defined]
    yield found
    assert "GET /version HTTP/1.1" not in found.requests, "smuggled"
    found.kill()


BAD = {
    "CL and TE": START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE and CL": START + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two CL": START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + SMUGGLED,
    "two equal CL": START + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello" + SMUGGLED,
    "CL list": START + b"Content-Length: 5, 5\r\n\r\nhello" + SMUGGLED,
    "CL with sign": START + b"Content-Length: +5\r\n\r\nhello" + SMUGGLED,
    "negative CL": START + b"Content-Length: -5\r\n\r\nhello" + SMUGGLED,
    "CL in hex": START + b"Content-Length: 0x5\r\n\r\nhello" + SMUGGLED,
    "CL with underscore": START + b"Content-Length: 1_0\r\n\r\nhellohello" + SMUGGLED,
    "empty CL": START + b"Content-Length: \r\n\r\nhello" + SMUGGLED,
    "CL beyond 64 bits": START + b"Content-Length: 18446744073709551621\r\n\r\nhello" + SMUGGLED,
    "CL of hours": START + b"Content-Length: 99999999999999999\r\n\r\nhello" + SMUGGLED,
    "CL with inner space": START + b"Content-Length: 5 5\r\n\r\nhello" + SMUGGLED,
    "CL in a name with space": START + b"Content-Length : 5\r\n\r\nhello" + SMUGGLED,
    "CL folded": START + b"Content-Length:\r\n 5\r\n\r\nhello" + SMUGGLED,
    "TE unknown": START + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE identity": START + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE twice": START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE not last": START + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE other coding": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE vertical tab": START + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE name with space": START + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE hidden by a bare LF": START + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "CL hidden by a bare LF": START + b"X: y\nContent-Length: 5\r\n\r\nhello" + SMUGGLED,
    "CL hidden by a bare CR": START + b"X: y\rContent-Length: 5\r\n\r\nhello" + SMUGGLED,
    "TE in HTTP/1.0": START.replace(b"1.1", b"1.0") + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size not hex": START + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
    "chunk size negative": START + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
    "chunk size empty": START + b"Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
    "chunk size with prefix": START + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
    "chunk size beyond 64 bits": START + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
    "chunk too long": START + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n" + SMUGGLED,
    "chunk ended by LF": START + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n" + SMUGGLED,
    "folded header": START + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": START + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a name": START + b"X\x00: a\r\nContent-Length: 0\r\n\r\n",
    "NUL in the target": b"GET /v1/mod\x00els HTTP/1.1\r\nHost: x\r\n\r\n",
    "header without colon": START + b"Nonsense\r\nContent-Length: 0\r\n\r\n",
    "header without name": START + b": x\r\nContent-Length: 0\r\n\r\n",
    "space in a name": START + b"X Y: x\r\nContent-Length: 0\r\n\r\n",
    "first header folded": f"POST {CHAT} HTTP/1.1\r\n Host: x\r\n\r\n".encode(),
    "two hosts": START + b"Host: y\r\nContent-Length: 0\r\n\r\n",
    "two hosts, special": START + b"Host: y\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "HTTP/0.9 with version": b"GET /v1/models HTTP/0.9\r\nHost: x\r\n\r\n",
    "HTTP/2 as version": b"GET /v1/models HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/3 as version": b"GET /v1/models HTTP/3.0\r\nHost: x\r\n\r\n",
    "version in lower case": b"GET /v1/models http/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /v1/models \r\nHost: x\r\n\r\n",
    "method unknown": b"BREW /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    "method in lower case": b"get /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    "space in the target": b"GET /v1/mod els HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT, special": b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2,
    "TLS hello with line ends": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n" + bytes(200),
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "SSH": b"SSH-2.0-client\r\n\r\n",
    "RTSP": b"OPTIONS rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("request_", list(BAD.values()), ids=list(BAD))
@pytest.mark.parametrize("cut", ["whole", "bytes"])
async def test_bad_framing_is_refused(request_: bytes, cut: str, edge: Edge, target: Backend) -> None:
    async with await edge.connect() as wire:
        with contextlib.suppress(OSError):
            for piece in pieces(request_, 1 if cut == "bytes" else len(request_)):
                wire.send(piece)
                await wire.writer.drain()
        found = await wire.answer()
        assert found.status in (400, 413), found
        assert found.headers["connection"] == "close"
        assert found.error["code"] == found.status
        assert await wire.ended(), "nothing after it is a request"
    assert target.requests == []
    await alive(edge)


GOOD = {
    "chunked": START + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "chunked, capital": START + b"Transfer-Encoding: Chunked\r\n\r\n%X\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "chunks, extension, trailer": START
    + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\n{\r\n%x\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(BODY) - 1, BODY[1:]),
    "CL with space after": START + b"Content-Length: %d \r\n\r\n" % len(BODY) + BODY,
    "CL with tab": START + b"Content-Length:\t%d\t\r\n\r\n" % len(BODY) + BODY,
    "CL with zeros": START + b"Content-Length: %020d\r\n\r\n" % len(BODY) + BODY,
    "CL without space": START + b"Content-Length:%d\r\n\r\n" % len(BODY) + BODY,
    "CL with zeros, special": START + b"TE: trailers\r\nContent-Length: %020d \r\n\r\n" % len(BODY) + BODY,
    "high bytes in a value": START + b"X: \xff\xc3\xa9\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "empty value": START + b"X:\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "line ends before": b"\r\n\r\n\r\n" + post(),
    "a line end before": b"\r\n" + post(),
    "many headers": START + b"".join(b"X-%d: y\r\n" % n for n in range(1000)) + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "no host": b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(BODY)) + BODY,
    "upgrade to h2c": post(CHAT, BODY, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    "upgrade to websocket": post(CHAT, BODY, "Connection: Upgrade", "Upgrade: websocket"),
    "expect": post(CHAT, BODY, "Expect: 100-continue"),
    "keep-alive": post(CHAT, BODY, "Connection: keep-alive"),
    "Keep-Alive": post(CHAT, BODY, "Connection: Keep-Alive", "Keep-Alive: timeout=5"),
}  # fmt: skip


@pytest.mark.parametrize("request_", list(GOOD.values()), ids=list(GOOD))
@pytest.mark.parametrize("size", [1, 40, 1 << 20])
async def test_odd_but_valid_framing_is_served(request_: bytes, size: int, edge: Edge, target: Backend) -> None:
    if size == 1 and len(request_) > 5000:
        size = 16
    async with await edge.connect() as wire:
        for _ in range(2):
            for piece in pieces(request_, size):
                wire.send(piece)
                await asyncio.sleep(0)
            found = await wire.answer()
            assert (found.status, found.json) == (200, {"ok": True})
        wire.send(get("/healthz"))
        assert (await wire.answer()).body == b"ok\n"
    assert target.bodies == [BODY, BODY]  # type: ignore[attr-defined]


async def test_line_ends_after_a_request_are_not_a_request(edge: Edge, target: Backend) -> None:
    """Old clients send one after a body; the connection stays idle, it does not wait for a head."""
    async with await edge.connect() as wire:
        wire.send(post() + b"\r\n")
        assert (await wire.answer()).status == 200
        (connection,) = edge.gateway.connections
        wire.send(b"\r\n")
        await alive(edge)
        assert connection.idle
        wire.send(post())
        assert (await wire.answer()).status == 200


async def test_expect_gets_its_answer_before_the_body(edge: Edge, target: Backend) -> None:
    for framing in (f"Content-Length: {len(BODY)}\r\n\r\n".encode(), b"Transfer-Encoding: chunked\r\n\r\n"):
        async with await edge.connect() as wire:
            wire.send(START + b"Expect: 100-continue\r\n" + framing)
            assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            wire.send(BODY if b"Length" in framing else b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
            assert (await wire.answer()).status == 200


async def test_expect_of_a_body_that_is_too_large(edge: Edge, target: Backend) -> None:
    async with await edge.connect() as wire:
        wire.send(START + b"Expect: 100-continue\r\nContent-Length: 104857600\r\n\r\n")
        found = await wire.head()
        assert (found.status, found.reason) == (413, "request_too_large")


# ---------------------------------------------------------------- sizes and times


@pytest.mark.parametrize(
    "request_",
    [
        START + b"X: " + b"a" * 40_000 + b"\r\n\r\n",
        START + b"X: " + b"a" * 40_000,
        START + b"X: a\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"A" * 40_000,
    ],
    ids=["value", "unfinished", "count", "target", "no line"],
)
async def test_a_head_that_is_too_large(request_: bytes, edge: Edge, target: Backend) -> None:
    async with await edge.connect() as wire:
        wire.send(request_)
        found = await wire.answer()
        assert (found.status, found.reason) == (431, "headers_too_large")
        assert "32768" in found.error["message"]
        assert await wire.ended()
    await alive(edge)


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_of_100_mb(chunked: bool, edge: Edge, target: Backend) -> None:
    """Refused at once when it is announced, at the limit when it is not; never kept."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    block = b"x" * (1 << 20)
    async with await edge.connect() as wire:
        wire.send(START + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: 104857600\r\n\r\n"))

        async def push() -> None:
            with contextlib.suppress(OSError):
                for _ in range(100):
                    wire.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
                    await wire.writer.drain()

        pushing = asyncio.create_task(push())
        found = await wire.answer()
        assert (found.status, found.reason) == (413, "request_too_large")
        assert "33554432" in found.error["message"]
        await alive(edge)
        await pushing
    await edge.settled()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@contextlib.asynccontextmanager
async def impatient(monkeypatch: pytest.MonkeyPatch, **limits: Any) -> AsyncIterator[Edge]:
    monkeypatch.setattr(gateway_module, "SWEEP_INTERVAL", 0.02)
    async with running(GatewayLimits(**limits)) as edge:
        edge.serve("m")
        yield edge


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        (b"P", "headers"),
        (START, "headers"),
        (START + b"Content-Length: 10\r\n\r\n", "body"),
        (START + b"Content-Length: 10\r\n\r\nabc", "body"),
        (START + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "body"),
        (START + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", "body"),
    ],
)
async def test_slow_requests(sent: bytes, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        impatient(monkeypatch, head_timeout_seconds=0.1, body_timeout_seconds=0.1) as edge,
        await edge.connect() as wire,
    ):
        wire.send(sent)
        found = await wire.answer()
        assert (found.status, found.reason) == (408, "request_timeout")
        assert part in found.error["message"]
        assert await wire.ended()
        await alive(edge)


async def test_a_head_that_trickles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not extend the time."""
    async with impatient(monkeypatch, head_timeout_seconds=0.15) as edge, await edge.connect() as wire:
        answered = asyncio.create_task(wire.answer())
        for piece in pieces(START * 30):
            if answered.done():
                break
            wire.send(piece)
            await asyncio.sleep(0.01)
        assert (await answered).status == 408


async def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with impatient(monkeypatch, idle_timeout_seconds=0.1) as edge, await edge.connect() as wire:
        wire.send(get("/healthz"))
        assert (await wire.answer()).status == 200
        assert await wire.ended()


async def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    async with impatient(monkeypatch, max_connections=3) as edge:
        wires = [await edge.connect() for _ in range(3)]
        await until(lambda: len(edge.gateway.connections) == 3)
        async with await edge.connect() as fourth:
            found = await fourth.answer()
            assert (found.status, found.reason, found.headers["retry-after"]) == (503, "too_many_connections", "1")
        for wire in wires:
            wire.send(get("/healthz"))
            assert (await wire.answer()).status == 200
            await wire.close()
        await until(lambda: not edge.gateway.connections)
        await alive(edge)


async def test_bodies_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    async with impatient(monkeypatch, max_buffered_bytes=300_000) as edge:
        first, second = await edge.connect(), await edge.connect()
        first.send(START + b"Content-Length: 1000000\r\n\r\n" + b"x" * 200_000)
        await until(lambda: edge.gateway.budget.used > 200_000)
        second.send(START + b"Transfer-Encoding: chunked\r\n\r\n30d40\r\n" + b"x" * 200_000)
        found = await second.answer()
        assert (found.status, found.reason) == (503, "no_capacity")
        await second.close()
        await first.close()
        await until(lambda: edge.gateway.budget.used == 0)


async def test_a_refused_client_that_never_reads_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER", 0.1)
    async with impatient(monkeypatch) as edge, await edge.connect() as wire:
        wire.send(b"BREW / HTTP/1.1\r\n\r\n")
        await until(lambda: edge.gateway.connections)
        await until(lambda: not edge.gateway.connections)
        await alive(edge)


async def test_a_refused_client_gets_its_time_however_long_it_was_busy() -> None:
    """No sweep sees a connection idle whose requests follow one another at once, for longer than it might be idle."""
    async with running(GatewayLimits(idle_timeout_seconds=0.1)) as edge, await edge.connect() as wire:
        await until(lambda: edge.gateway.connections)
        await asyncio.sleep(0.15)
        wire.send(b"BREW / HTTP/1.1\r\n\r\n")
        assert (await wire.answer()).status == 400
        edge.gateway.connections.sweep(edge.gateway.now())
        await asyncio.sleep(0)
        assert len(edge.gateway.connections) == 1


# ---------------------------------------------------------------- pipelining


async def test_pipelined_requests_are_answered_in_order(edge: Edge, backend: Callable[..., Any]) -> None:
    async def handler(call: Call) -> None:
        await call.read_body()
        call.send(answer(b'{"n":%d}' % call.json["n"]))

    await backend(handler)
    async with await edge.connect() as wire:
        wire.send(b"".join(post(content=body(n=n)) for n in range(200)))
        for n in range(200):
            assert (await wire.answer()).json == {"n": n}
        requests = b"".join(post(content=body(n=n)) + get("/healthz") + b"\r\n" for n in range(20))
        for piece in pieces(requests, 33):
            wire.send(piece)
            await asyncio.sleep(0)
        for n in range(20):
            assert (await wire.answer()).json == {"n": n}
            assert (await wire.answer()).body == b"ok\n"


async def test_a_row_of_local_requests_is_no_deep_recursion(edge: Edge) -> None:
    async with await edge.connect() as wire:
        wire.send(get("/healthz") * 3000)
        for _ in range(3000):
            assert (await wire.answer()).status == 200


async def test_pipelining_behind_a_held_request(edge: Edge, backend: Callable[..., Any]) -> None:
    found = await backend(answer(), attach=False)
    async with await edge.connect() as wire:
        wire.send(post() + get("/healthz"))
        await edge.held()
        wire.send(post(content=body(pad="x" * 200_000)) + get("/readyz"))
        edge.backends(found.port)
        assert (await wire.answer()).json == {"ok": True}
        assert (await wire.answer()).body == b"ok\n"
        assert (await wire.answer()).json == {"ok": True}
        assert (await wire.answer()).body == b"ok\n"


async def test_pipelining_after_a_chunked_body(edge: Edge, target: Backend) -> None:
    """Either answered in order, or the connection says that it closes; never mixed up."""
    chunked = GOOD["chunks, extension, trailer"]
    async with await edge.connect() as wire:
        wire.send(chunked + post())
        first = await wire.answer()
        assert first.json == {"ok": True}
        if first.headers.get("connection") == "close":
            assert await wire.ended()
        else:
            assert (await wire.answer()).json == {"ok": True}
    assert set(target.bodies) == {BODY}  # type: ignore[attr-defined]


@pytest.mark.parametrize("after", [b"garbage\r\n\r\n", b"\x00\x01", b"GET /x HTTP/9\r\n\r\n"])
async def test_garbage_after_a_request(after: bytes, edge: Edge, target: Backend) -> None:
    async with await edge.connect() as wire:
        wire.send(post() + after)
        assert (await wire.answer()).json == {"ok": True}
        if after.endswith(b"\r\n\r\n"):
            assert (await wire.answer()).status == 400
            assert await wire.ended()


async def test_a_client_that_pipelines_and_never_reads_is_not_served_further(edge: Edge, target: Backend) -> None:
    """Answers wait for their reader; requests wait for their answers, and are answered when it reads."""
    edge.serve({"name": "m", "aliases": [f"alias-{n}" for n in range(1000)]})  # a model list of 100 kB
    wire = await edge.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await until(lambda: edge.gateway.connections)
    (connection,) = edge.gateway.connections
    sent = 0
    while connection.state != RESUMING or not connection.writing_paused:
        wire.send(get("/v1/models"))
        sent += 1
        assert sent < 1000
        await asyncio.sleep(0)
    held_back = connection.transport.get_write_buffer_size()
    for _ in range(50):
        wire.send(get("/v1/models"))
        await asyncio.sleep(0)
    assert connection.transport.get_write_buffer_size() <= held_back < 1_000_000
    await alive(edge)
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(sent + 50):
        assert len((await wire.answer()).json["data"]) == 1001
    await wire.close()


async def test_a_client_that_never_reads_is_cut_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for headers in ([], ["Connection: close"]):
        async with impatient(monkeypatch, idle_timeout_seconds=0.2) as edge:
            edge.serve({"name": "m", "aliases": [f"alias-{n}" * 20 for n in range(20_000)]})
            wire = await edge.connect()
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            wire.send(get("/v1/models", *headers))
            await until(lambda: edge.gateway.connections)
            await until(lambda: not edge.gateway.connections)
            wire.abort()


# ---------------------------------------------------------------- clients that leave


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"P",
        b"\r\n",
        START,
        START + b"Content-Length: 100\r\n\r\n",
        START + b"Content-Length: 100\r\n\r\n{",
        START + b"Transfer-Encoding: chunked\r\n\r\n",
        START + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        START + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
        post(),
        post() + b"GET /",
        post() + post(),
        post(content=body(stream=True)),
    ],
)
@pytest.mark.parametrize("warm", [True, False])
async def test_a_client_that_leaves_leaves_nothing(
    sent: bytes, end: str, warm: bool, edge: Edge, backend: Callable[..., Any]
) -> None:
    async def hang(call: Call) -> None:
        await call.read_body()
        await call.gone()

    await backend(hang, attach=warm)
    wire = await edge.connect()
    wire.send(sent)
    service = edge.gateway.services["m"]
    if sent.startswith(post()[:20]) and b"messages" in sent:
        await until(lambda: service.in_flight or service.held)
    await until(lambda: edge.gateway.connections)
    if end == "abort":
        wire.abort()
    else:
        await wire.close()
    await edge.settled()
    await alive(edge)
