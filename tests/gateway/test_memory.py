"""The bytes of large requests: one bound over all services, and every path gives back exactly what it took."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import hearth_gateway.gateway as gateway_module
from hearth_gateway import GatewayLimits
from hearth_gateway.http import connector
from hearth_gateway.http.request_reader import BODY
from hearth_gateway.limits import RequestBudget
from hearth_gateway.policy.service import SMALL_BODY
from tests.gateway.support import (
    DONE,
    LAST,
    SSE_HEAD,
    Backend,
    Call,
    Edge,
    Handler,
    Wire,
    answer,
    body,
    chunk,
    event,
    in_turn,
    plays,
    post,
    running,
)
from tests.support.waiting import until

SIZE = 3 * SMALL_BODY
STREAM = SSE_HEAD + chunk(event("a")) + chunk(DONE) + LAST
Start = Callable[..., Awaitable[Backend]]


def large(*headers: str, path: str = "/v1/chat/completions", version: str = "1.1", **fields: Any) -> bytes:
    """Return a request of about `SIZE` bytes."""
    return post(path, body(pad="x" * SIZE, **fields), *headers, version=version)


def chunked(**fields: Any) -> bytes:
    """Return the same without a length; its head is rebuilt."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunk(body(pad="x" * SIZE, **fields)) + LAST


def kept(edge: Edge) -> int:
    """Bytes that are accounted for, after a look at whether they are what there is."""
    gateway = edge.gateway
    for connection in gateway.connections:
        size = len(connection.exchange.payload)
        if connection.reader.phase != BODY:
            assert connection.reader._reserved == (size if size > SMALL_BODY + 1000 else 0)
    assert gateway.budget.used == sum(connection.reader._reserved for connection in gateway.connections)
    return gateway.budget.used


@pytest.fixture(autouse=True)
def fast_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "SWEEP_INTERVAL", 0.02)


@pytest.fixture
async def waiting(edge: Edge, backend: Start) -> AsyncIterator[asyncio.Event]:
    """Attach a backend of `m` that answers when the event is set."""
    go = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.read_body()
        await go.wait()
        call.send(STREAM if call.json.get("stream") else answer())

    await backend(handler)
    yield go
    go.set()


# ---------------------------------------------------------------- the bound


@pytest.mark.parametrize("build", [large, chunked])
async def test_large_requests_at_a_backend_are_bounded_together(build: Callable[..., bytes], backend: Start) -> None:
    async with running(GatewayLimits(max_buffered_bytes=2 * SIZE + SMALL_BODY)) as edge:
        edge.serve("m")
        go = asyncio.Event()

        async def handler(call: Call) -> None:
            await call.read_body()
            await go.wait()
            call.send(answer())

        found = await backend(handler, attach=False)
        edge.backends(found.port)
        wires = [await edge.connect() for _ in range(2)]
        for wire in wires:
            wire.send(build())
        await until(lambda: len(found.requests) == 2)
        assert kept(edge) > 2 * SIZE
        refused = await edge.ask(build())
        assert (refused.status, refused.reason, refused.headers["retry-after"]) == (503, "no_capacity", "1")
        go.set()
        assert (await edge.ask(post())).status == 200  # small ones need nothing of it
        for wire in wires:
            assert (await wire.answer()).status == 200
        assert kept(edge) == 0
        for wire in wires:
            wire.send(build())
            assert (await wire.answer()).status == 200
            await wire.close()


async def test_held_requests_of_all_services_are_bounded_together() -> None:
    async with running(GatewayLimits(max_buffered_bytes=2 * SIZE + SMALL_BODY)) as edge:
        edge.serve("a", "b", "c")
        wires = [await edge.connect() for _ in range(2)]
        for wire, name in zip(wires, "ab", strict=True):
            wire.send(large(model=name))
            await edge.held(1, name)
        refused = await edge.ask(large(model="c"))
        assert (refused.status, refused.reason) == (503, "no_capacity")
        assert kept(edge) == sum(edge.gateway.stats(name).held_bytes for name in "abc")
        await wires[0].close()
        await edge.held(0, "a")
        async with await edge.connect() as wire:
            wire.send(large(model="c"))
            await edge.held(1, "c")
        await wires[1].close()


async def test_a_request_is_accounted_for_as_the_backend_gets_it(edge: Edge, backend: Start) -> None:
    """Its other name takes another number of bytes."""
    edge.serve({"name": "m", "aliases": ["quite-a-long-name-for-it"]})
    async with await edge.connect() as wire:
        wire.send(large(model="quite-a-long-name-for-it"))
        await edge.held()
        assert kept(edge) == edge.gateway.stats("m").held_bytes


# ---------------------------------------------------------------- every way in which a request ends


ANSWERS: dict[str, tuple[Handler, dict[str, Any], int]] = {
    "unary": (plays(answer()), {}, 200),
    "unary in pieces": (plays(*(answer()[n : n + 20] for n in range(0, len(answer()), 20))), {}, 200),
    "stream": (plays(STREAM), {"stream": True}, 200),
    "stream in pieces": (plays(SSE_HEAD, chunk(event("a")), chunk(DONE) + LAST), {"stream": True}, 200),
    "error": (plays(answer(status="500 No")), {}, 500),
    "no body": (plays(b"HTTP/1.1 204 No Content\r\n\r\n"), {}, 204),
    "replayed": (in_turn(plays(then="abort"), plays(answer())), {}, 200),
    "replayed stream": (in_turn(plays(SSE_HEAD, then="abort"), plays(STREAM)), {"stream": True}, 200),
    "broken twice": (plays(then="abort"), {}, 502),
    "not HTTP": (plays(b"SSH-2.0\r\n\r\n"), {}, 502),
    "broken head": (plays(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), {}, 502),
    "broken chunk": (plays(SSE_HEAD + b"zz\r\n"), {"stream": True}, 200),
    "cut stream": (plays(SSE_HEAD, chunk(event("a")), then="abort"), {"stream": True}, 200),
    "stream without end": (plays(SSE_HEAD + chunk(event("a")) + LAST), {"stream": True}, 200),
}


@pytest.mark.parametrize("cold", [True, False])
@pytest.mark.parametrize("build", [large, chunked])
@pytest.mark.parametrize("kind", list(ANSWERS))
async def test_an_answered_request_gives_back(
    kind: str, build: Callable[..., bytes], cold: bool, edge: Edge, backend: Start
) -> None:
    handler, fields, status = ANSWERS[kind]
    found = await backend(handler, attach=not cold)
    async with await edge.connect() as wire:
        wire.send(build(**fields))
        if cold:
            await edge.held()
            assert kept(edge) == edge.gateway.stats("m").held_bytes > SIZE
            edge.backends(found.port)
        assert (await wire.answer()).status == (200 if cold and fields else status)
        await until(lambda: not edge.gateway.stats("m").in_flight)
        assert kept(edge) == 0
        wire.send(post())  # and the connection goes on
        await wire.answer()
        assert kept(edge) == 0


@pytest.mark.parametrize("then", ["close", "abort"])
async def test_half_an_answer_gives_back(then: str, edge: Edge, backend: Start) -> None:
    await backend(plays(answer(b"x" * 100)[:-9], then=then))
    assert not (await edge.ask(large())).complete
    await until(lambda: kept(edge) == 0 and not edge.gateway.connections)


@pytest.mark.parametrize("stream", [True, False])
async def test_what_will_not_be_sent_again_is_dropped_while_the_answer_runs(
    stream: bool, edge: Edge, backend: Start
) -> None:
    go = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.read_body()
        call.send(SSE_HEAD + chunk(event("a")) if stream else answer(b"x" * 100)[:-50])
        await go.wait()
        call.send(chunk(DONE) + LAST if stream else b"x" * 50)

    await backend(handler)
    async with await edge.connect() as wire:
        wire.send(large(stream=stream))
        await wire.head()
        await until(lambda: kept(edge) == 0)
        go.set()
        await wire.until(b"0\r\n\r\n" if stream else b"x" * 100)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_client_that_leaves_gives_back(
    end: str, stream: bool, edge: Edge, waiting: asyncio.Event, backend: Start
) -> None:
    edge.serve("m", "cold")
    for model in ("m", "cold"):
        wire = await edge.connect()
        wire.send(large(model=model, stream=stream))
        await until(lambda: edge.gateway.stats(model).demand)  # noqa: B023 - awaited here
        assert kept(edge) > SIZE
        await (wire.close() if end == "close" else asyncio.to_thread(wire.abort))
        await until(lambda: not edge.gateway.connections)
        assert kept(edge) == 0


async def test_half_a_request_gives_back(edge: Edge) -> None:
    for request in (large(), chunked()):
        wire = await edge.connect()
        wire.send(request[: SIZE // 2])
        await until(lambda: edge.gateway.budget.used)
        await wire.close()
        await until(lambda: not edge.gateway.budget.used)


@pytest.mark.parametrize("stream", [True, False])
async def test_time_outs_give_back(stream: bool, edge: Edge, waiting: asyncio.Event) -> None:
    limits = {"activationTimeoutSeconds": 0.1, "timeouts": {"firstByteSeconds": 0.1}}
    edge.serve({"name": "m", **limits}, {"name": "cold", **limits})
    for model in ("m", "cold"):
        async with await edge.connect() as wire:
            wire.send(large(model=model, stream=stream))
            assert (await wire.answer()).failed
            assert kept(edge) == 0


async def test_removed_services_give_back(edge: Edge, waiting: asyncio.Event) -> None:
    edge.serve("m", "cold")
    async with await edge.connect() as held, await edge.connect() as sent:
        held.send(large(model="cold"))
        sent.send(large())
        await edge.held(1, "cold")
        await until(lambda: edge.gateway.stats("m").in_flight)
        edge.serve()
        assert (await held.answer()).reason == "model_not_found"
        assert kept(edge) > SIZE
        waiting.set()
        assert (await sent.answer()).status == 200
        assert kept(edge) == 0


async def test_a_stop_gives_back(edge: Edge, waiting: asyncio.Event) -> None:
    edge.serve("m", "cold")
    wires = [await edge.connect() for _ in range(4)]
    for wire, model in zip(wires, ("m", "m", "cold", "cold"), strict=True):
        wire.send(large(model=model))
    await edge.held(2, "cold")
    await until(lambda: edge.gateway.stats("m").in_flight == 2)
    await edge.gateway.stop(0.05)
    assert kept(edge) == 0


async def test_a_backend_that_refuses_connections(edge: Edge, backend: Start) -> None:
    """Back into the queue, and out of it."""
    found = await backend(plays(answer()), ready=True)
    await found.stop_listening()
    async with await edge.connect() as wire:
        wire.send(large())
        await edge.held()
        assert kept(edge) == edge.gateway.stats("m").held_bytes
        await found.listen()
        assert (await wire.answer()).status == 200
        assert kept(edge) == 0


async def test_no_connection_can_be_opened(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> Any:
        raise OSError(24, "Too many open files")

    edge.backends(1)
    monkeypatch.setattr(connector, "open_upstream", full)
    async with await edge.connect() as wire:
        wire.send(large())
        assert (await wire.answer()).reason == "no_capacity"
        assert kept(edge) == 0


REFUSED = {
    "unknown path": (large(path="/nothing"), 404),
    "wrong method": (b"PUT" + large()[4:], 405),
    "unknown model": (large(model="none"), 404),
    "no model": (large(model=None), 400),
    "bad body": (post(content=b"[" + b"1," * SIZE), 400),
    "larger than the service's limit": (large(model="narrow"), 413),
    "larger than any": (post(content=b"x" * 2_000_000), 413),
    "reject mode": (large(model="reject"), 503),
    "queue full": (large(model="full"), 429),
    "cold, not inference": (large(path="/cold/v1/load_lora_adapter"), 503),
    "busy": (large(model="busy"), 429),
    "HTTP/1.0": (large(version="1.0", model="reject"), 503),
    "to be closed": (large("Connection: close", model="reject"), 503),
    "with a question": (large("Expect: 100-continue", model="reject"), 503),
}


@pytest.mark.parametrize("kind", list(REFUSED))
async def test_a_refused_request_gives_back(kind: str, edge: Edge, backend: Start) -> None:
    largest = {"maxRequestBytes": 1_000_000}
    edge.serve(
        {"name": "m", "limits": largest},
        {"name": "cold", "limits": largest},
        {"name": "narrow", "limits": {"maxRequestBytes": SIZE}},
        {"name": "reject", "coldStart": {"mode": "reject"}, "limits": largest},
        {"name": "full", "limits": {**largest, "maxHeldBytes": SIZE}},
        {"name": "busy", "limits": {**largest, "maxInFlight": 1}},
    )
    await backend(plays(answer()), name="busy")
    edge.gateway.services["busy"].in_flight = 1
    request, status = REFUSED[kind]
    async with await edge.connect() as wire:
        wire.send(request)
        assert (await wire.answer()).status == status
        assert kept(edge) == 0
    edge.gateway.services["busy"].in_flight = 0


async def test_what_is_passed_on_is_accounted_for_too(edge: Edge, waiting: asyncio.Event) -> None:
    async with await edge.connect() as wire:
        wire.send(large(path="/v1/load_lora_adapter"))
        await until(lambda: edge.gateway.stats("m").in_flight)
        assert kept(edge) > SIZE
        waiting.set()
        assert (await wire.answer()).status == 200
        assert kept(edge) == 0


async def test_pipelined_requests_give_back_one_by_one(edge: Edge, backend: Start) -> None:
    await backend(plays(answer()))
    async with await edge.connect() as wire:
        for _ in range(5):
            wire.send(large() + post())
        for _ in range(10):
            assert (await wire.answer()).status == 200
        assert kept(edge) == 0


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_nor_given_back_twice(
    seed: int, edge: Edge, backend: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large and small, every kind of ending, clients that leave at any time, a backend that comes and goes."""
    chance = random.Random(seed)
    taken: list[int] = []
    take, give_back = RequestBudget.take, RequestBudget.give_back

    def watched_take(self: RequestBudget, size: int) -> bool:
        done = take(self, size)
        if done:
            taken.append(size)
        return done

    def watched_give_back(self: RequestBudget, size: int) -> None:
        give_back(self, size)
        taken.append(-size)
        assert self.used >= 0

    monkeypatch.setattr(RequestBudget, "take", watched_take)
    monkeypatch.setattr(RequestBudget, "give_back", watched_give_back)

    async def handler(call: Call) -> None:
        await call.read_body()
        await asyncio.sleep(call.json["delay"])
        call.head = b""  # read already
        await ANSWERS[call.json["kind"]][0](call)

    found = await backend(handler)

    async def client() -> None:
        for _ in range(15):
            kind = chance.choice([name for name in ANSWERS if not name.startswith("replayed")])
            build = chance.choice((large, chunked, lambda **fields: post(content=body(**fields))))
            wire: Wire = await edge.connect()
            wire.send(build(kind=kind, delay=chance.choice((0, 0.01)), **ANSWERS[kind][1]))
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() / 50)
                wire.abort()
                continue
            await wire.answer()
            await wire.close()

    async def disturb() -> None:
        while True:
            await asyncio.sleep(chance.random() / 20)
            edge.backends()
            kept(edge)
            await asyncio.sleep(chance.random() / 50)
            edge.backends(found.port)

    disturbing = asyncio.create_task(disturb())
    await asyncio.gather(*(client() for _ in range(6)))
    disturbing.cancel()
    await until(lambda: not edge.gateway.connections)
    assert sum(taken) == edge.gateway.budget.used == 0
    assert max(taken) > SIZE
