"""Requests that find no backend: held, shown as demand, released in order, or refused with a reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

import hearth_gateway.policy.service as service_module
from hearth_gateway import Endpoint
from hearth_gateway.http.exchange import Exchange
from tests.gateway.support import (
    DONE,
    HOST,
    LAST,
    SSE_HEAD,
    Call,
    Edge,
    answer,
    body,
    chunk,
    event,
    get,
    plays,
    post,
    statuses,
)
from tests.support.waiting import until

ASK = post(content=body(stream=True))
STREAM = SSE_HEAD + chunk(event("a")) + chunk(event("b")) + chunk(DONE) + LAST
QUICK = {"name": "m", "coldStart": {"heartbeatIntervalSeconds": 0.05}}


async def test_a_held_stream_gets_comments_at_once_then_its_events(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve(QUICK)
    found = await backend(STREAM, attach=False)
    async with await edge.connect() as wire:
        wire.send(ASK)
        head = await wire.head()
        assert head.status == 200
        assert head.headers == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
            "x-hearth-cold-start": "true",
            "server-timing": 'hearth-wait;desc="held"',
            "transfer-encoding": "chunked",
        }
        comments = [await wire.chunk() for _ in range(3)]
        for comment in comments:
            assert comment.startswith(b": m is starting")
            assert comment.count(b"\n") == 1
            assert comment.endswith(b"\n")
        assert edge.gateway.stats("m").demand == 1
        edge.backends(found.port)
        rest = b""
        while piece := await wire.chunk():
            rest += piece
        assert rest.endswith(event("a") + event("b") + DONE)
        assert (
            not rest.replace(event("a") + event("b") + DONE, b"")
            .replace(b": m is starting", b"")
            .strip(b"0123456789 sofar,\n")
        )
        wire.send(ASK)  # warm, on the same connection: the backend's own headers
        warm = await wire.answer()
        assert "x-hearth-cold-start" not in warm.headers
        assert (warm.text, warm.events[-1]) == ("ab", "[DONE]")
    assert edge.gateway.stats("m").activating is False


async def test_a_held_unary_request_waits_in_silence(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve(QUICK)
    found = await backend(answer(), attach=False)
    async with await edge.connect() as wire:
        wire.send(post())
        await edge.held()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.reader.read(1), 0.12)
        edge.backends(found.port)
        held = await wire.answer()
        assert held.headers["x-hearth-cold-start"] == "true"
        name, _, duration = held.headers["server-timing"].partition(";dur=")
        assert name == "hearth-wait"
        assert 100 < int(duration) < 5000
        wire.send(post())
        warm = await wire.answer()
        assert not {"x-hearth-cold-start", "server-timing"} & set(warm.headers)


async def test_a_request_is_no_stream_because_the_last_one_was(edge: Edge, backend: Callable[..., Any]) -> None:
    """One that wakes nothing waits, too, behind those that are held still while the first ones are released."""
    edge.serve({"name": "m", "limits": {"maxInFlight": 1}})
    released = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.read_body()
        if edge.gateway.stats("m").held:
            await released.wait()
        call.send(answer())

    found = await backend(handler)
    async with await edge.connect() as wire:
        wire.send(ASK)
        assert (await wire.answer()).json == {"ok": True}
        edge.backends()
        others = [asyncio.create_task(edge.ask(post())) for _ in range(2)]
        await edge.held(2)
        edge.backends(found.port)
        await edge.held(1)
        wire.send(get("/version"))
        await edge.held(2)
        released.set()
        assert (await wire.answer()).headers["content-type"] == "application/json"
        assert [(await each).status for each in others] == [200, 200]


async def test_the_notice_tells_why_it_waits(edge: Edge) -> None:
    edge.serve({**QUICK, "activationTimeoutSeconds": 0.3})
    edge.gateway.set_notice("m", "needs 2 accelerators,\r\n\r\n1 is free")
    stream, unary = await edge.connect(), await edge.connect()
    stream.send(ASK)
    unary.send(post())
    await stream.head()
    assert b"(needs 2 accelerators, 1 is free)" in await stream.chunk()
    queue = (await edge.ask(get("/m/hearth/queue"))).json
    assert queue["notice"].startswith("needs 2")
    seen = b""
    while piece := await stream.chunk():
        seen += piece
    *_, last = seen.split(b"\n: ")[-1].split(b"\n", 1)
    error = json.loads(last.strip().removeprefix(b"data: "))["error"]
    assert (error["code"], error["type"]) == (503, "ServiceUnavailableError")
    assert "needs 2 accelerators" in error["message"]
    refused = await unary.answer()
    assert (refused.status, refused.reason) == (503, "activation_timeout")
    assert 1 <= int(refused.headers["retry-after"]) <= 55
    assert "0.3 s" in refused.error["message"]
    for wire in (stream, unary):
        wire.send(get("/healthz"))
        assert (await wire.answer()).status == 200
        await wire.close()


@pytest.mark.parametrize(("path", "kind"), [("/v1/responses", "responses"), ("/v1/messages", "anthropic")])
async def test_a_timeout_in_the_form_of_other_apis(path: str, kind: str, edge: Edge) -> None:
    edge.serve({"name": "m", "activationTimeoutSeconds": 0.05})
    found = await edge.ask(post(path, body(stream=True)))
    assert found.complete
    assert b"event: error\n" in found.body
    (last,) = found.events
    assert last["type"] == "error"
    assert "did not become ready within 0.05 s" in last["error"]["message"]
    assert ("code" in last) == (kind == "responses")


async def test_reject_mode(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "coldStart": {"mode": "reject"}})
    found = await backend(answer(), ready=False)
    found.healthy = False
    for request in (post(), ASK):
        refused = await edge.ask(request)
        assert (refused.status, refused.reason) == (503, "cold_start")
        assert 1 <= int(refused.headers["retry-after"]) <= 55
        assert refused.error["code"] == 503
    stats = edge.gateway.stats("m")
    assert (stats.held, stats.demand, stats.activating) == (0, 1, True)
    await until(lambda: found.probes > 1)  # the refused client is demand
    found.healthy = True
    await until(lambda: edge.gateway.stats("m").usable)
    assert (await edge.ask(post())).status == 200


async def test_the_queue_is_bounded_by_count(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "limits": {"maxHeld": 5}})
    found = await backend(answer(), attach=False)
    asked = [asyncio.create_task(edge.ask(post())) for _ in range(12)]
    await until(lambda: sum(task.done() for task in asked) == 7)
    assert edge.gateway.stats("m").held == 5
    edge.backends(found.port)
    answers = await asyncio.gather(*asked)
    assert statuses(answers) == [200] * 5 + [429] * 7
    refused = next(each for each in answers if each.status == 429)
    assert refused.reason == "queue_full"
    assert 1 <= int(refused.headers["retry-after"]) <= 55
    assert statuses(await asyncio.gather(*(edge.ask(post()) for _ in range(20)))) == [200] * 20  # warm: no such bound


async def test_the_queue_is_bounded_by_bytes(edge: Edge, backend: Callable[..., Any]) -> None:
    request = post(content=body(pad="x" * 10_000))
    edge.serve({"name": "m", "limits": {"maxHeldBytes": len(request) * 3}})
    found = await backend(answer(), attach=False)
    asked = [asyncio.create_task(edge.ask(request)) for _ in range(8)]
    await until(lambda: sum(task.done() for task in asked) == 5)
    assert edge.gateway.stats("m").held_bytes == len(request) * 3
    edge.backends(found.port)
    assert statuses(await asyncio.gather(*asked)) == [200] * 3 + [429] * 5


async def test_a_client_that_leaves_while_held_takes_its_demand_along(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, it may come back; but not after the whole activation timeout either."""
    monkeypatch.setattr(service_module, "LEASE_GRACE", 0.2)
    monkeypatch.setattr(service_module, "IDLE_NOTICE", 0.05)
    edges: list[tuple[int, bool]] = []
    gateway = edge.gateway
    gateway.subscribe(lambda name: edges.append((gateway.stats(name).demand, gateway.stats(name).activating)))
    for request in (ASK, post()):
        async with await edge.connect() as wire:
            wire.send(request)
            await edge.held()
        await until(lambda: not gateway.stats("m").held)
        assert gateway.stats("m").demand == 1
        await until(lambda: gateway.stats("m").demand == 0, seconds=2)
        await until(lambda: not gateway.stats("m").activating)
    assert edges[0] == (1, True)
    assert edges[-1] == (0, False)


async def test_probes_while_cold_and_none_while_warm(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "probe": {"path": "/health", "intervalSeconds": 0.02}})
    found = await backend(answer(), ready=False)
    await asyncio.sleep(0.1)
    assert found.probes == 0  # nobody asks
    found.healthy = False
    asked = asyncio.create_task(edge.ask(post()))
    await until(lambda: found.probes >= 5)
    assert not asked.done()
    found.healthy = True
    assert (await asked).status == 200
    seen = found.probes
    for _ in range(20):
        assert (await edge.ask(post())).status == 200
    await asyncio.sleep(0.1)
    assert found.probes == seen


async def test_one_prober_whatever_waits(edge: Edge, backend: Callable[..., Any]) -> None:
    """Probes cost the same for one held request and for a hundred."""
    edge.serve({"name": "m", "probe": {"intervalSeconds": 0.05}})
    found = await backend(answer(), ready=False)
    found.healthy = False
    wires = [await edge.connect() for _ in range(50)]
    for wire in wires:
        wire.send(ASK)
    await edge.held(50)
    before = found.probes
    await asyncio.sleep(0.5)
    assert 2 <= found.probes - before <= 12
    for wire in wires:
        wire.abort()


@pytest.mark.parametrize("how", ["hangs", "refuses", "garbage", "503"])
async def test_a_replica_that_is_not_ready_does_not_hide_another(
    how: str, edge: Edge, backend: Callable[..., Any]
) -> None:
    edge.serve({"name": "m", "probe": {"intervalSeconds": 0.02, "timeoutSeconds": 5}})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if how == "garbage":
            writer.write(b"\x00\xff\r\n\r\n")
        elif how == "503":
            writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    bad = server.sockets[0].getsockname()[1]
    if how == "refuses":
        server.close()
    good = await backend(answer(), attach=False)
    edge.backends(bad, good.port, ready=False)
    assert (await edge.ask(post())).status == 200
    server.close()


async def test_the_oldest_goes_first(edge: Edge, backend: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []
    forward = Exchange.forward

    def record(self: Exchange, to: Any) -> None:
        order.append(json.loads(self.payload.partition(b"\r\n\r\n")[2])["n"])
        forward(self, to)

    monkeypatch.setattr(Exchange, "forward", record)
    found = await backend(answer(), attach=False)
    wires = []
    for n in range(60):
        wire = await edge.connect()
        wire.send(post(content=body(n=n, stream=n % 2 == 0)))
        await edge.held(n + 1)
        wires.append(wire)
    edge.backends(found.port)
    assert order == list(range(16))  # the rest follows by a ramp
    for wire in wires:
        await wire.answer()
        await wire.close()
    assert order == list(range(60))


async def test_held_requests_share_all_that_is_ready(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "limits": {"maxHeld": 200}})
    one, two = await backend(answer(), attach=False), await backend(answer(), attach=False)
    asked = [asyncio.create_task(edge.ask(post())) for _ in range(100)]
    await edge.held(100)
    edge.backends(one.port, two.port)
    assert statuses(await asyncio.gather(*asked)) == [200] * 100
    assert len(one.requests) + len(two.requests) == 100
    assert min(len(one.requests), len(two.requests)) > 20


async def test_two_services_do_not_disturb_each_other(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "limits": {"maxHeld": 2}}, {"name": "n", "limits": {"maxHeld": 2}})
    warm = await backend(answer(), name="n")
    held = [asyncio.create_task(edge.ask(post())) for _ in range(2)]
    await edge.held(2)
    assert (await edge.ask(post())).status == 429
    for _ in range(5):
        assert (await edge.ask(post(content=body(model="n")))).status == 200
    assert warm.probes == 0
    assert edge.gateway.stats("n").demand == 0
    found = await backend(answer(), ready=False)
    assert statuses(await asyncio.gather(*held)) == [200, 200]
    assert (len(found.requests), len(warm.requests)) == (2, 5)


SERVER_ERROR = b'{"error":{"message":"The server had an error.","type":"InternalServerError","code":500}}'
BAD_REQUEST = b'{"error":{"message":"too \\"long\\"\\nby far","type":"BadRequestError","param":"x","code":400}}'
LATE = [
    ("500 Internal Server Error", SERVER_ERROR, 500, "The server had an error."),
    ("400 Bad Request", BAD_REQUEST, 400, 'too "long"\nby far'),
    ("401 Unauthorized", b'{"error":"Unauthorized"}', 401, "Unauthorized"),
    ("404 Not Found", b'{"detail":"Not Found"}', 404, "Not Found"),
    ("503 Service Unavailable", b"plain text\n\nof two lines", 503, "plain text"),
    ("502 Bad Gateway", b"", 502, "502"),
    ("200 OK", b'{"id":"unary answer to a stream"}', 502, "unary answer"),
]


@pytest.mark.parametrize(("status", "content", "code", "message"), LATE)
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
async def test_an_error_answer_after_the_held_200_becomes_an_event(
    status: str,
    content: bytes,
    code: int,
    message: str,
    chunked: bool,
    path: str,
    edge: Edge,
    backend: Callable[..., Any],
) -> None:
    framed = (
        f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + (chunk(content) if content else b"")
        + LAST
    )
    found = await backend(plays(framed if chunked else answer(content, status=status)), attach=False)
    async with await edge.connect() as wire:
        wire.send(post(path, body(stream=True)))
        await edge.held()
        edge.backends(found.port)
        held = await wire.answer()
        assert (held.status, held.complete) == (200, True)
        (last,) = held.events
        assert message in last["error"]["message"]
        assert last["error"]["code"] == code
        assert (last.get("type") == "error") == (path != "/v1/chat/completions")
        wire.send(get("/healthz"))
        assert (await wire.answer()).status == 200


@pytest.mark.parametrize("then", ["close", "abort"])
async def test_an_error_answer_that_is_cut_is_still_an_error(
    then: str, edge: Edge, backend: Callable[..., Any]
) -> None:
    found = await backend(plays(answer(b'{"error":"x"}', status="500 No")[:-2], then=then), attach=False)
    async with await edge.connect() as wire:
        wire.send(ASK)
        await edge.held()
        edge.backends(found.port)
        held = await wire.answer()
    assert (held.complete, held.failed) == (True, True)


async def test_backend_death_after_the_held_200_is_no_empty_success(edge: Edge, backend: Callable[..., Any]) -> None:
    found = await backend(plays(then="close"), attach=False)
    async with await edge.connect() as wire:
        wire.send(ASK)
        await edge.held()
        edge.backends(found.port)
        held = await wire.answer()
    assert held.complete
    assert held.events[-1]["error"]["code"] == 502
    assert len(found.requests) == 2  # sent once more before it gave up


async def test_a_slow_reader_is_not_buried_in_heartbeats(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    edge.serve({"name": "m", "coldStart": {"heartbeatIntervalSeconds": 0.005}})
    beats = 0
    heartbeat = Exchange.heartbeat

    def count(self: Exchange, notice: str) -> None:
        nonlocal beats
        beats += 1
        heartbeat(self, notice)

    async with await edge.connect() as wire:
        wire.send(ASK)
        await wire.head()
        await wire.chunk()
        (connection,) = edge.gateway.connections
        connection.pause_writing()  # as with a full buffer
        monkeypatch.setattr(Exchange, "heartbeat", count)
        await until(lambda: beats >= 10)
        seen = await wire.reader.read(1 << 16) if wire.reader._buffer else b""  # type: ignore[attr-defined]
        assert seen.count(b"starting") < 5  # what was on its way before
        connection.resume_writing()
        assert (await wire.chunk()).startswith(b": m is starting")


async def test_removing_a_service_ends_what_it_holds(edge: Edge, backend: Callable[..., Any]) -> None:
    stream, unary = await edge.connect(), await edge.connect()
    stream.send(ASK)
    unary.send(post())
    await edge.held(2)
    edge.serve("other")
    assert (await stream.answer()).events[-1]["error"]["code"] == 404
    refused = await unary.answer()
    assert (refused.status, refused.reason) == (404, "model_not_found")
    edge.serve("m", "other")  # and it comes back under its name
    unary.send(post())
    await edge.held()
    await backend(answer(), ready=False)
    assert (await unary.answer()).status == 200
    await stream.close()
    await unary.close()


async def test_wake_without_a_request(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.gateway.wake("m")
    assert edge.gateway.stats("m").demand == 1
    found = await backend(answer(), ready=False)
    await until(lambda: edge.gateway.stats("m").usable)
    assert (found.requests, edge.gateway.stats("m").activating) == ([], False)


async def test_a_terminating_replica_gets_nothing_new(edge: Edge, backend: Callable[..., Any]) -> None:
    go = asyncio.Event()

    async def slow(call: Call) -> None:
        await call.read_body()
        await go.wait()
        call.send(answer())

    old, new = await backend(slow), await backend(answer(), attach=False)
    running = asyncio.create_task(edge.ask(post()))
    await until(lambda: old.requests)
    gateway = edge.gateway
    ends = [
        Endpoint(f"r{old.port}", HOST, old.port, ready=True, terminating=True),
        Endpoint(f"r{new.port}", HOST, new.port, ready=True),
    ]
    gateway.set_endpoints("m", ends)
    assert statuses(await asyncio.gather(*(edge.ask(post()) for _ in range(5)))) == [200] * 5
    assert (len(old.requests), gateway.endpoint_in_flight("m", ends[0].id)) == (1, 1)
    idle = asyncio.create_task(gateway.endpoint_idle("m", ends[0].id))
    await asyncio.sleep(0)
    assert not idle.done()
    go.set()
    assert (await running).status == 200
    await asyncio.wait_for(idle, 1)
