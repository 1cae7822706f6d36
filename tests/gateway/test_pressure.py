"""Readers that are slow, readers that leave, and the gateway's own end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway.support import DONE, HOST, LAST, SSE_HEAD, Call, Edge, Wire, answer, body, chunk, event, get, post
from tests.support.waiting import until

ASK = post(content=body(stream=True))
BIG = event("x" * 16_000)
KERNEL = 12 << 20  # bytes that socket buffers on loopback may take, both hops


async def narrow(edge: Edge) -> Wire:
    """Open a client with a small receive buffer that does not read by itself."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (HOST, edge.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 24)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    wire = Wire(reader, writer)
    edge.wires.append(wire)
    return wire


@pytest.mark.parametrize("kind", ["stream", "length", "until close"])
@pytest.mark.parametrize("cold", [True, False])
async def test_a_client_that_does_not_read_stops_the_backend(
    kind: str, cold: bool, edge: Edge, backend: Callable[..., Any]
) -> None:
    """The backend gets rid of what buffers take, no more; the rest comes when the client reads."""
    total = 1500
    sent = 0
    head = {
        "stream": SSE_HEAD,
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (total * len(BIG)),
        "until close": b"HTTP/1.1 200 OK\r\n\r\n",
    }[kind]

    async def flood(call: Call) -> None:
        nonlocal sent
        await call.read_body()
        call.send(head)
        for _ in range(total):
            call.send(chunk(BIG) if kind == "stream" else BIG)
            await call.drain()
            sent += 1
        if kind == "stream":
            call.send(chunk(DONE) + LAST)
        if kind == "until close":
            call.close()

    found = await backend(flood, attach=not cold)
    wire = await narrow(edge)
    wire.send(post(content=body(stream=kind == "stream")))
    if cold:
        await edge.held()
        edge.backends(found.port)
    await until(lambda: sent)
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.1)
    assert sent * len(BIG) < KERNEL < total * len(BIG)
    (connection,) = edge.gateway.connections
    assert connection.transport.get_write_buffer_size() < 1_000_000
    assert connection.exchange.upstream is not None
    assert connection.exchange.upstream.paused
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
    whole = await wire.answer()
    assert whole.complete
    assert whole.body.count(BIG) == total
    await wire.close()


async def test_a_backend_that_does_not_read_holds_up_its_request_only(edge: Edge, backend: Callable[..., Any]) -> None:
    go = asyncio.Event()

    async def handler(call: Call) -> None:
        if len(call.backend.requests) == 1:
            await go.wait()
        await call.read_body()
        call.send(answer())

    await backend(handler)
    slow = asyncio.create_task(edge.ask(post(content=body(pad="x" * 20_000_000))))
    await until(lambda: edge.gateway.stats("m").in_flight)
    for _ in range(3):
        assert (await edge.ask(post())).status == 200
    go.set()
    assert (await slow).status == 200


async def test_a_client_that_does_not_read_and_leaves(edge: Edge, backend: Callable[..., Any]) -> None:
    gone = asyncio.Event()

    async def flood(call: Call) -> None:
        await call.read_body()
        call.send(SSE_HEAD)
        try:
            while True:
                call.send(chunk(BIG))
                await call.drain()
        except OSError:
            gone.set()

    await backend(flood)
    wire = await narrow(edge)
    wire.send(ASK)
    await until(
        lambda: any(c.exchange.upstream is not None and c.exchange.upstream.paused for c in edge.gateway.connections)
    )
    wire.abort()
    await asyncio.wait_for(gone.wait(), 5)


# ---------------------------------------------------------------- clients that leave


PHASES = {
    "before the head": b"",
    "in the head": b"HTTP/1.1 200 OK\r\nContent-Type: text/ev",
    "after the head": SSE_HEAD,
    "after an event": SSE_HEAD + chunk(event("a")),
    "in an event": SSE_HEAD + chunk(event("a")) + chunk(b"data: {"),
    "in a chunk": SSE_HEAD + chunk(event("a")) + b"50\r\ndata",
    "in a unary answer": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "in a late error": b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nhalf",
}


@pytest.mark.parametrize("phase", list(PHASES))
@pytest.mark.parametrize("cold", [True, False])
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_the_backend_hears_of_a_client_that_left(
    phase: str, cold: bool, end: str, edge: Edge, backend: Callable[..., Any]
) -> None:
    gone, reached = asyncio.Event(), asyncio.Event()

    async def handler(call: Call) -> None:
        await call.read_body()
        if PHASES[phase]:
            call.send(PHASES[phase])
        reached.set()
        await call.gone()
        gone.set()

    found = await backend(handler, attach=not cold)
    wire = await edge.connect()
    wire.send(ASK)
    if cold:
        await edge.held()
        edge.backends(found.port)
    await reached.wait()
    service = edge.gateway.services["m"]
    (connection,) = edge.gateway.connections
    if PHASES[phase] and phase != "in the head":
        await until(lambda: connection.exchange.upstream is not None and connection.exchange.upstream.status)
    if end == "abort":
        wire.abort()
    else:
        await wire.close()
    await asyncio.wait_for(gone.wait(), 2)
    assert service.in_flight == 0
    assert service.counters.codes[499] == 1
    assert edge.gateway.stats("m").held == 0


async def test_a_client_that_leaves_while_the_connection_is_made(edge: Edge) -> None:
    """To an address that never answers the handshake: a full backlog."""
    with socket.socket() as deaf:
        deaf.bind((HOST, 0))
        deaf.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
            fillers.append(filler)
        edge.backends(deaf.getsockname()[1])
        wire = await edge.connect()
        wire.send(post())
        await until(lambda: edge.gateway.stats("m").in_flight)
        wire.abort()
        await until(lambda: not edge.gateway.stats("m").in_flight)
        for filler in fillers:
            filler.close()


# ---------------------------------------------------------------- the end


async def test_a_stop_lets_requests_end(edge: Edge, backend: Callable[..., Any]) -> None:
    """Held ones are released, streams run to their end; nobody new gets in, idle connections are closed."""
    go = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.read_body()
        if call.json.get("stream"):
            call.send(SSE_HEAD + chunk(event("a")))
            await go.wait()
            call.send(chunk(DONE) + LAST)
        else:
            await go.wait()
            call.send(answer())

    edge.serve("m", "n")
    found = await backend(handler)
    idle, stream, unary, held = [await edge.connect() for _ in range(4)]
    stream.send(ASK)
    unary.send(post())
    held.send(post(content=body(model="n")))
    await edge.held(1, "n")
    await until(lambda: len(found.requests) == 2)
    stopping = asyncio.create_task(edge.gateway.stop(5))
    assert await idle.ended()
    assert not edge.gateway.ready
    with pytest.raises(OSError):
        await asyncio.open_connection(HOST, edge.port)
    edge.backends(found.port, name="n")
    go.set()
    assert not (await stream.answer()).failed
    for wire in (unary, held):
        last = await wire.answer()
        assert last.status == 200
    assert last.headers["connection"] == "close"
    for wire in (stream, unary, held):
        assert await wire.ended()
    await asyncio.wait_for(stopping, 2)
    for wire in (idle, stream, unary, held):
        await wire.close()


async def test_after_the_grace_everybody_gets_an_error(edge: Edge, backend: Callable[..., Any]) -> None:
    async def handler(call: Call) -> None:
        await call.read_body()
        if call.json.get("stream"):
            call.send(SSE_HEAD + chunk(event("a")))
        elif call.json.get("half"):
            call.send(answer(b"x" * 100)[:-50])
        await call.gone()

    edge.serve("m", "n")
    found = await backend(handler)
    wires = {
        name: await edge.connect()
        for name in ("stream", "unary", "half", "held", "held stream", "head", "body", "silent")
    }
    wires["stream"].send(ASK)
    wires["unary"].send(post())
    wires["half"].send(post(content=body(half=True)))
    wires["held"].send(post(content=body(model="n")))
    wires["held stream"].send(post(content=body(model="n", stream=True)))
    wires["head"].send(b"POST /")
    wires["body"].send(post(content=b"x" * 100)[:-50])
    await edge.held(2, "n")
    await until(lambda: len(found.requests) == 3 and len(edge.gateway.connections) == 8)
    await asyncio.wait_for(edge.gateway.stop(0.1), 3)
    for name in ("stream", "held stream"):
        ended = await wires[name].answer()
        assert ended.complete, name
        assert ended.events[-1]["error"]["code"] == 503, name
    for name in ("unary", "held", "head", "body"):
        ended = await wires[name].answer()
        assert (ended.status, ended.reason, ended.headers["connection"]) == (503, "stopping", "close"), name
    assert not (await wires["half"].answer()).complete
    assert await wires["silent"].ended()
    for wire in wires.values():
        await wire.close()


async def test_a_stop_does_not_wait_for_who_does_not_read(edge: Edge) -> None:
    edge.serve({"name": "m", "aliases": [f"alias-{n}" * 20 for n in range(20_000)]})
    for headers in ([], ["Connection: close"]):
        wire = await narrow(edge)
        wire.send(get("/v1/models", *headers))
        await until(lambda: any(c.writing_paused for c in edge.gateway.connections))
        await asyncio.wait_for(edge.gateway.stop(0.1), 5)
        wire.abort()
        break


async def test_a_stop_frees_the_port(edge: Edge) -> None:
    from hearth_gateway import Gateway

    first = Gateway()
    await first.start(HOST, 0)
    second = Gateway()
    with pytest.raises(OSError, match="in use"):
        await second.start(HOST, first.port)
    port = first.port
    await first.stop(0)
    await second.start(HOST, port)
    await second.stop(0)


async def test_states_do_not_leak_through_a_thousand_mixed_requests(edge: Edge, backend: Callable[..., Any]) -> None:
    """Ten clients, every kind of ending, no place in flight lost."""

    async def handler(call: Call) -> None:
        await call.read_body()
        kind = call.json["kind"]
        if kind == "ok":
            call.send(answer())
        elif kind == "stream":
            call.send(SSE_HEAD + chunk(event("a")) + chunk(DONE) + LAST)
        elif kind == "cut":
            call.send(SSE_HEAD + chunk(event("a")))
            call.abort()
        elif kind == "half":
            call.send(answer(b"x" * 100)[:-9])
            call.close()
        elif kind == "dead":
            call.abort()
        elif kind == "leave":
            await call.gone()

    found = await backend(handler)
    kinds = ["ok", "stream", "cut", "half", "dead", "leave"]

    async def client(seed: int) -> None:
        for n in range(40):
            kind = kinds[(seed * 7 + n * n) % len(kinds)]
            async with await edge.connect() as wire:
                wire.send(post(content=body(kind=kind, stream=kind in ("stream", "cut", "leave"))))
                if kind == "leave":
                    await asyncio.sleep(0.005)
                    wire.abort()
                    continue
                result = await wire.answer()
                assert result.failed == (kind not in ("ok", "stream")), kind

    await asyncio.gather(*(client(seed) for seed in range(10)))
    await until(lambda: edge.gateway.stats("m").in_flight == 0)
    assert edge.gateway.services["m"].backends[f"r{found.port}"].in_flight == 0
    codes = edge.gateway.services["m"].counters.codes
    assert sum(codes.values()) == 400
