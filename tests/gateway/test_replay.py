"""Backends that fail before the first byte of an answer: the client does not notice, and nothing is asked a third time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway.support import (
    DONE,
    LAST,
    SSE_HEAD,
    Backend,
    Call,
    Edge,
    answer,
    body,
    chunk,
    event,
    get,
    in_turn,
    plays,
    post,
    statuses,
)
from tests.support.waiting import until

STREAM = SSE_HEAD + chunk(event("a")) + chunk(DONE) + LAST
REQUESTS = {"unary": post(), "stream": post(content=body(stream=True))}
ENDS = {
    "fin": plays(then="close"),
    "reset": plays(then="abort"),
    "fin in the head": plays(b"HTTP/1.1 200 OK\r\nContent-", then="close"),
    "reset in the head": plays(b"HTTP/1.1 200 OK\r\nContent-", then="abort"),
    "fin after an interim answer": plays(b"HTTP/1.1 100 Continue\r\n\r\n", then="close"),
}


async def good(call: Call) -> None:
    await call.read_body()
    call.send(STREAM if call.json.get("stream") else answer())


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize("kind", list(REQUESTS))
async def test_a_failure_before_the_first_byte_is_invisible(
    end: str, kind: str, edge: Edge, backend: Callable[..., Any]
) -> None:
    found = await backend(in_turn(ENDS[end], good))
    async with await edge.connect() as wire:
        wire.send(REQUESTS[kind])
        first = await wire.answer()
        assert (first.status, first.failed) == (200, False)
        assert len(found.requests) == 2
        wire.send(REQUESTS[kind])
        assert not (await wire.answer()).failed
    counters = edge.gateway.services["m"].counters
    assert (counters.replays, counters.codes) == (1, {200: 2})


@pytest.mark.parametrize("kind", list(REQUESTS))
async def test_only_once(kind: str, edge: Edge, backend: Callable[..., Any]) -> None:
    found = await backend(plays(then="abort"))
    async with await edge.connect() as wire:
        for count in (2, 4):
            wire.send(REQUESTS[kind])
            refused = await wire.answer()
            # In between it was held until the backend answered a probe, so a stream has its 200 already.
            assert refused.status == (502 if kind == "unary" else 200)
            error = refused.events[-1]["error"] if kind == "stream" else refused.error
            assert error["code"] == 502
            assert "second attempt" in error["message"]
            assert len(found.requests) == count


@pytest.mark.parametrize("then", ["close", "abort"])
async def test_the_head_of_a_stream_alone_is_no_answer(then: str, edge: Edge, backend: Callable[..., Any]) -> None:
    """The engine sends it before the first token, so most streams that lose their backend while they queue have it."""
    found = await backend(in_turn(plays(SSE_HEAD, then=then), good, plays(SSE_HEAD, then=then)))
    async with await edge.connect() as wire:
        wire.send(REQUESTS["stream"])
        first = await wire.answer()
        assert (first.status, first.complete, first.events[-1], first.text) == (200, True, "[DONE]", "a")
        assert len(found.requests) == 2
        wire.send(REQUESTS["stream"])  # only once
        second = await wire.answer()
        assert (second.status, second.complete) == (200, True)
        assert second.events[-1]["error"]["code"] == 502
        assert len(found.requests) == 4


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK", b"HTTP/1.1 500 Internal Server Error"])
async def test_no_stream_after_the_head_of_one(head: bytes, edge: Edge, backend: Callable[..., Any]) -> None:
    """A whole response in one read is not passed on as it came: the client reads chunks of a stream."""
    late = plays(head + b"\r\nContent-Length: 17\r\n\r\n" + b'{"detail":"late"}')
    await backend(in_turn(plays(SSE_HEAD, then="abort"), late, good))
    async with await edge.connect() as wire:
        wire.send(REQUESTS["stream"])
        first = await wire.answer()
        assert (first.status, first.complete) == (200, True)
        assert first.events[-1]["error"]["code"] in (500, 502)
        wire.send(REQUESTS["stream"])
        assert not (await wire.answer()).failed


async def test_a_port_that_outlives_its_process(edge: Edge, backend: Callable[..., Any]) -> None:
    """A child that inherited the socket keeps accepting: the one attempt that is left is not wasted on it."""
    found = await backend(plays(then="abort"))
    found.healthy = False
    asked = [asyncio.create_task(edge.ask(request)) for request in REQUESTS.values()]
    await edge.held(2)
    await until(lambda: found.probes >= 2)
    assert len(found.requests) == 2
    found.handler = good
    found.healthy = True
    answers = await asyncio.gather(*asked)
    assert not any(each.failed for each in answers)
    assert len(found.requests) == 4


@pytest.mark.parametrize("kind", list(REQUESTS))
async def test_on_another_replica(kind: str, edge: Edge, backend: Callable[..., Any]) -> None:
    dying = Backend(plays(then="close"))

    async def die(call: Call) -> None:
        await call.read_body()
        dying.kill()

    dying.handler = die
    await dying.listen()
    healthy = await backend(good, attach=False)
    edge.backends(dying.port, healthy.port)
    assert statuses([await edge.ask(REQUESTS[kind]) for _ in range(4)]) == [200] * 4
    assert len(dying.requests) == 1
    assert len(healthy.requests) == 4


@pytest.mark.parametrize("kind", list(REQUESTS))
async def test_on_the_next_one_that_becomes_ready(kind: str, edge: Edge, backend: Callable[..., Any]) -> None:
    """Killed with requests in its hands; its successor on the same port answers them all."""
    killed = Backend(plays())

    async def hang(call: Call) -> None:
        await call.read_body()
        await call.gone()

    killed.handler = hang
    await killed.listen()
    edge.backends(killed.port)
    asked = [asyncio.create_task(edge.ask(REQUESTS[kind])) for _ in range(10)]
    await until(lambda: len(killed.requests) == 10)
    killed.kill()
    await edge.held(10)
    stats = edge.gateway.stats("m")
    assert (stats.in_flight, stats.demand, stats.activating) == (0, 10, True)
    successor = Backend(good)
    await successor.listen(killed.port)
    found = await asyncio.gather(*asked)
    assert statuses(found) == [200] * 10
    assert not any(each.failed for each in found)
    assert len(successor.requests) == 10
    successor.kill()


async def test_refused_connections_lose_nothing(edge: Edge, backend: Callable[..., Any]) -> None:
    """The source says ready, the port says no: the request waits and is probed for."""
    gone = await backend(good)
    await gone.stop_listening()
    asked = [asyncio.create_task(edge.ask(request)) for request in REQUESTS.values()]
    await edge.held(2)
    assert edge.gateway.stats("m").usable == 0
    await gone.listen()
    found = await asyncio.gather(*asked)
    assert not any(each.failed for each in found)
    assert len(gone.requests) == 2


async def test_a_suspect_replica_comes_back_by_a_probe(edge: Edge, backend: Callable[..., Any]) -> None:
    one, two = await backend(good), await backend(good, attach=False)
    await one.stop_listening()
    edge.backends(one.port, two.port)
    assert statuses(await asyncio.gather(*(edge.ask(post()) for _ in range(6)))) == [200] * 6
    assert (len(one.requests), edge.gateway.stats("m").usable) == (0, 1)
    await one.listen()
    await until(lambda: edge.gateway.stats("m").usable == 2)
    assert two.probes == 0


async def test_connections_that_went_stale_in_the_pool(edge: Edge, backend: Callable[..., Any]) -> None:
    """As after vLLM's 5 s: it closes while the request is on its way."""

    async def once(call: Call) -> None:
        await good(call)
        await call.read_head()  # the second request on this connection is read and dropped
        call.abort()

    found = await backend(once)
    for _ in range(5):
        assert (await edge.ask(post())).status == 200
    assert found.connections == 5
    assert edge.gateway.services["m"].counters.replays == 4


async def test_a_whole_pool_that_went_stale(edge: Edge, backend: Callable[..., Any]) -> None:
    found = await backend(good)
    assert statuses(await asyncio.gather(*(edge.ask(post()) for _ in range(20)))) == [200] * 20
    (replica,) = edge.gateway.services["m"].backends.values()
    assert len(replica.pool) > 1
    for writer in found._writers:
        writer.transport.abort()
    assert statuses(await asyncio.gather(*(edge.ask(post()) for _ in range(20)))) == [200] * 20
    for writer in found._writers:
        writer.close()
    await until(lambda: not replica.pool)


async def test_idle_connections_are_closed_before_the_backend_does(
    edge: Edge, backend: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearth_gateway.http.connector.POOL_IDLE", 1.0)  # one sweep
    await backend(good)
    assert (await edge.ask(post())).status == 200
    (replica,) = edge.gateway.services["m"].backends.values()
    assert len(replica.pool) == 1
    await until(lambda: not replica.pool, seconds=3)


@pytest.mark.parametrize("then", ["keep", "close"])
@pytest.mark.parametrize("size", [100, 8_000_000])
async def test_an_answer_before_the_request_was_read(
    then: str, size: int, edge: Edge, backend: Callable[..., Any]
) -> None:
    """The engine refuses early, with the body still on its way; the refusal must come through."""
    refusal = answer(b'{"error":{"message":"too long"}}', status="400 Bad Request")

    async def early(call: Call) -> None:
        call.send(refusal)
        await call.drain()
        if then == "close":
            await asyncio.sleep(0.02)
            call.close()
        else:
            await call.read_body()

    found = await backend(early)
    for _ in range(3):
        refused = await edge.ask(post(content=body(pad="x" * size)))
        assert (refused.status, refused.error["message"]) == (400, "too long")
    assert len(found.requests) == 3


async def test_a_stream_before_the_request_was_read(edge: Edge, backend: Callable[..., Any]) -> None:
    async def early(call: Call) -> None:
        call.send(SSE_HEAD)
        for n in range(50):
            call.send(chunk(event(str(n))))
        call.send(chunk(DONE) + LAST)
        await call.read_body()

    await backend(early)
    for _ in range(2):
        found = await edge.ask(post(content=body(stream=True, pad="x" * 5_000_000)))
        assert (found.failed, len(found.events)) == (False, 51)


async def test_reading_from_the_engine_is_not_held_when_it_dies(edge: Edge, backend: Callable[..., Any]) -> None:
    found = await backend(good)
    await found.stop_listening()
    refused = await edge.ask(get("/version"))
    assert (refused.status, refused.reason) == (503, "cold_no_wake")
    assert edge.gateway.stats("m").held == 0


async def test_a_backend_that_is_silent_for_too_long(edge: Edge, backend: Callable[..., Any], monkeypatch: Any) -> None:
    """Before its first byte: 504. In a stream: an error event. It is told to stop."""
    edge.serve({"name": "m", "timeouts": {"firstByteSeconds": 0.3, "idleSeconds": 0.3}})
    left = asyncio.Event()

    async def silent(call: Call) -> None:
        await call.read_body()
        if call.json.get("stream"):
            call.send(SSE_HEAD + chunk(event("a")))
        await call.gone()
        left.set()

    await backend(silent)
    unary, stream = await asyncio.gather(*(edge.ask(request) for request in REQUESTS.values()))
    assert (unary.status, unary.reason) == (504, "backend_timeout")
    assert stream.complete
    assert stream.events[-1]["error"]["code"] == 504
    await asyncio.wait_for(left.wait(), 2)


async def test_a_service_that_goes_while_its_request_is_at_a_backend(edge: Edge, backend: Callable[..., Any]) -> None:
    """It ends where it is; if it cannot, it is refused rather than held for nobody."""
    go = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.read_body()
        await go.wait()
        if call.json.get("fail"):
            call.abort()
        else:
            call.send(answer())

    found = await backend(handler)
    well, ill = (asyncio.create_task(edge.ask(post(content=body(**more)))) for more in ({}, {"fail": True}))
    await until(lambda: len(found.requests) == 2)
    edge.serve("other")
    go.set()
    assert (await well).status == 200
    refused = await ill
    assert (refused.status, refused.reason) == (404, "model_not_found")
