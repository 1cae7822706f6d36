"""Answers on their way back: whole however they were cut up, and never a clean end that was none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway.support import (
    CHAT,
    DONE,
    LAST,
    SSE_HEAD,
    Answer,
    Call,
    Edge,
    Handler,
    answer,
    body,
    chunk,
    event,
    get,
    in_turn,
    pieces,
    plays,
    post,
)
from tests.support.waiting import until

ASK = post(content=body(stream=True))
EVENTS = b"".join(event(text) for text in ("a", "b\u00e9", "c")) + DONE
LENGTH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
CLOSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
OLD_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CHUNKED = SSE_HEAD + b"".join(chunk(part + b"\n\n") for part in EVENTS.split(b"\n\n")[:-1]) + LAST


async def both(edge: Edge, request: bytes = ASK) -> tuple[Answer, Answer]:
    """Send the same request twice on one connection: framing errors of the first show in the second."""
    async with await edge.connect() as wire:
        wire.send(request)
        first = await wire.answer()
        wire.send(request)
        return first, await wire.answer()


def check(found: Answer) -> None:
    assert found.status == 200
    assert found.complete
    assert found.text == "ab\u00e9c"
    assert found.events[-1] == "[DONE]"
    assert not found.failed
    assert found.headers["x-accel-buffering"] == "no"
    assert found.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("head", "content", "then"),
    [
        (b"", CHUNKED, "keep"),
        (SSE_HEAD, chunk(EVENTS) + LAST, "keep"),
        (SSE_HEAD, chunk(EVENTS.replace(b"\n", b"\r\n")) + LAST, "keep"),
        (SSE_HEAD, b"".join(chunk(each) for each in pieces(EVENTS, 7)) + LAST, "keep"),
        (SSE_HEAD, b"0" + b"%X;a=b\r\n" % len(EVENTS) + EVENTS + b"\r\n000;x\r\nTrailer: 1\r\nOther: 2\r\n\r\n", "keep"),
        (LENGTH_HEAD % len(EVENTS), EVENTS, "keep"),
        (CLOSE_HEAD, EVENTS, "close"),
        (OLD_HEAD, EVENTS, "close"),
    ],
    ids=["vllm", "one chunk", "crlf", "torn chunks", "odd chunks", "length", "close", "http/1.0"],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3, 50, 1 << 20])
async def test_events_arrive_however_they_are_cut(
    head: bytes, content: bytes, then: str, size: int, edge: Edge, backend: Callable[..., Any]
) -> None:
    """Every byte boundary is a read of its own at size 1 (the handler drains between pieces)."""
    await backend(plays(*pieces(head + content, size), then=then))
    for found in await both(edge):
        check(found)


async def test_an_event_is_passed_on_when_it_is_whole_and_not_before(edge: Edge, backend: Callable[..., Any]) -> None:
    go = asyncio.Queue[bytes]()

    async def handler(call: Call) -> None:
        await call.read_body()
        while piece := await go.get():
            call.send(piece)

    await backend(handler)
    async with await edge.connect() as wire:
        wire.send(ASK)
        go.put_nowait(SSE_HEAD)
        await wire.head()
        whole = event("x")
        go.put_nowait(chunk(whole[:20]))
        go.put_nowait(chunk(whole[20:] + b": keep-alive\n\n"))
        assert await wire.chunk() == whole + b": keep-alive\n\n"
        go.put_nowait(chunk(DONE) + LAST)
        assert await wire.chunk() == DONE
        assert await wire.chunk() == b""
        go.put_nowait(b"")


# ---------------------------------------------------------------- broken streams


SOME = chunk(event("a")) + chunk(event("b"))
BROKEN: list[tuple[str, Handler]] = [
    ("fin between chunks", plays(SSE_HEAD, SOME, then="close")),
    ("fin in a chunk", plays(SSE_HEAD, SOME, chunk(event("c"))[:-9], then="close")),
    ("fin in a chunk's size", plays(SSE_HEAD, SOME, b"a", then="close")),
    ("fin in an event", plays(SSE_HEAD, SOME, chunk(event("c")[:30]), then="close")),
    ("fin in the last chunk", plays(SSE_HEAD, SOME, b"0\r\n", then="close")),
    ("reset between chunks", plays(SSE_HEAD, SOME, then="abort")),
    ("reset in a chunk", plays(SSE_HEAD, SOME, b"ff\r\ndata: x", then="abort")),
    ("clean end without done", plays(SSE_HEAD, SOME + LAST)),
    ("clean end in an event", plays(SSE_HEAD, SOME + chunk(event("c")[:30]) + LAST)),
    ("empty", plays(SSE_HEAD, LAST)),
    ("done in the text", plays(SSE_HEAD, SOME + chunk(event("say data: [DONE] please")) + LAST)),
    ("bad chunk size", plays(SSE_HEAD, SOME + b"zz\r\n")),
    ("chunk too long", plays(SSE_HEAD, SOME + b"2\r\nabc\r\n")),
    ("endless chunk size", plays(SSE_HEAD, SOME + b"1" * 2000)),
    ("length cut", plays(LENGTH_HEAD % 5000 + event("a") + event("b"), then="close")),
    ("length without done", plays(LENGTH_HEAD % len(event("a") * 2) + event("a") * 2)),
    ("length without done, two reads", plays(LENGTH_HEAD % len(event("a") * 2), event("a") * 2)),
    ("length in an event", plays(LENGTH_HEAD % (len(event("a") * 2) - 9) + (event("a") * 2)[:-9])),
    ("close without done", plays(CLOSE_HEAD + event("a") * 2, then="close")),
    ("close in an event", plays(CLOSE_HEAD + event("a"), event("b")[:20], then="close")),
    ("close by reset", plays(CLOSE_HEAD + event("a") + event("b"), then="abort")),
]


@pytest.mark.parametrize("handler", [each for _, each in BROKEN], ids=[name for name, _ in BROKEN])
@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions"])
async def test_a_broken_stream_ends_in_an_error_event(
    handler: Handler, route: str, edge: Edge, backend: Callable[..., Any]
) -> None:
    await backend(in_turn(handler, plays(CHUNKED)))
    first, second = await both(edge, post(route, body(stream=True)))
    assert (first.status, first.complete) == (200, True)
    *texts, error = first.events
    assert error["error"]["code"] == 502
    assert error["error"]["type"] == "BadGatewayError"
    assert "`m`" in error["error"]["message"]
    assert all(isinstance(each, dict) and each["choices"] for each in texts if each != {}), "whole events only"
    check(second)  # the connection goes on
    codes = edge.gateway.services["m"].counters.codes
    assert sum(codes.values()) == 2


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("then", ["close", "abort"])
async def test_errors_in_the_form_of_other_apis(path: str, then: str, edge: Edge, backend: Callable[..., Any]) -> None:
    piece = b'event: x\ndata: {"type":"x"}\n\n'
    await backend(plays(SSE_HEAD, chunk(piece), then=then))
    found = await edge.ask(post(path, body(stream=True)))
    assert found.complete
    assert found.body.startswith(piece + b"event: error\ndata: {")
    last = found.events[-1]
    assert last["type"] == "error"
    assert "failed during its response" in last["error"]["message"]
    if path == "/v1/responses":
        assert (last["code"], last["message"]) == ("502", last["error"]["message"])


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/v1/responses", b'event: response.completed\ndata: {"type":"response.completed"}\n\n'),
        ("/v1/responses", b'event: response.failed\ndata: {"type":"response.failed"}\n\n'),
        ("/v1/responses", b'event: response.incomplete\ndata: {"type":"response.incomplete"}\n\n'),
        ("/v1/responses", b'event: error\ndata: {"type":"error"}\n\n'),
        ("/v1/responses", b'data: {"error":{"message":"x"}}\n\ndata: [DONE]\n\n'),
        ("/v1/messages", b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
        ("/v1/messages", b'event: error\ndata: {"type":"error"}\n\n'),
        ("/v1/messages", b"data: [DONE]\n\n"),
    ],
)
async def test_streams_of_other_apis_end_without_done(
    path: str, end: bytes, edge: Edge, backend: Callable[..., Any]
) -> None:
    start = b'event: start\ndata: {"type":"start"}\n\n'
    await backend(in_turn(plays(SSE_HEAD, chunk(start) + chunk(end) + LAST), plays(SSE_HEAD, chunk(start) + LAST)))
    first, second = await both(edge, post(path, body(stream=True)))
    assert first.body == start + end
    assert second.events[-1]["type"] == "error"  # a clean end without an end


DEATH = b'data: {"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","code":500}}\n\n'
ABORT = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}\n\n'


@pytest.mark.parametrize(
    "tail",
    [
        [DEATH, DONE],
        [DEATH + DONE],
        [ABORT, DONE],
        [b"data: [DONE]\r\n\r\n"],
        [b"data:[DONE]\n\n"],
        [DONE + b": bye\n\n"],
    ],
    ids=["engine death", "in one chunk", "abort", "crlf", "no space", "comment"],
)
async def test_what_the_engine_says_itself_passes_through(
    tail: list[bytes], edge: Edge, backend: Callable[..., Any]
) -> None:
    await backend(plays(SSE_HEAD, SOME + b"".join(map(chunk, tail)) + LAST))
    found = await edge.ask(ASK)
    assert (found.complete, found.body) == (True, event("a") + event("b") + b"".join(tail))


async def test_an_error_answer_to_a_stream_is_passed_on_as_it_is(edge: Edge, backend: Callable[..., Any]) -> None:
    content = b'{"error":{"message":"no","type":"BadRequestError","param":null,"code":400}}'
    await backend(answer(content, status="400 Bad Request"))
    found = await edge.ask(ASK)
    assert (found.status, found.body) == (400, content)


# ---------------------------------------------------------------- unary answers


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"x" * 100_000),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 60_000) + chunk(b"x" * 40_000) + LAST,
        b"HTTP/1.1 201 Made\r\nX-Odd:\tvalue\r\nContent-Length:100000\r\n\r\n" + b"x" * 100_000,
        b"HTTP/1.1 200\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,
    ],
)
@pytest.mark.parametrize("size", [11_000, 1 << 20])
async def test_unary_answers_arrive_whole(raw: bytes, size: int, edge: Edge, backend: Callable[..., Any]) -> None:
    await backend(plays(*pieces(raw, size)))
    for found in await both(edge, post()):
        assert (found.complete, found.body) == (True, b"x" * 100_000)
        assert found.status in (200, 201)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"])
async def test_an_answer_that_ends_with_its_connection(head: bytes, edge: Edge, backend: Callable[..., Any]) -> None:
    await backend(plays(head, b"x" * 50_000, b"y", then="close"))
    for found in await both(edge, post()):
        assert (found.complete, found.body) == (True, b"x" * 50_000 + b"y")


@pytest.mark.parametrize("then", ["close", "abort"])
@pytest.mark.parametrize(
    "raw",
    [
        answer(b"x" * 1000)[:-1],
        answer(b"x" * 1000)[:-1000],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 100),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 100) + b"0\r\n",
    ],
)
async def test_a_unary_answer_that_was_cut_is_an_error(
    raw: bytes, then: str, edge: Edge, backend: Callable[..., Any]
) -> None:
    await backend(plays(raw, then=then))
    found = await edge.ask(post())
    assert found.status == 200
    assert not found.complete
    assert edge.gateway.services["m"].counters.codes == {200: 0, 502: 1}


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_answers_without_a_body(status: str, edge: Edge, backend: Callable[..., Any]) -> None:
    await backend(plays(f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode()))
    async with await edge.connect() as wire:
        for _ in range(2):
            wire.send(get("/version"))
            found = await wire.answer()
            assert found.status == int(status[:3])
            assert "transfer-encoding" not in found.headers
        wire.send(get("/healthz"))
        assert (await wire.answer()).body == b"ok\n"


@pytest.mark.parametrize(
    ("interim", "size"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n", 9),
        (b"HTTP/1.1 100 Continue\r\n\r\n", 1 << 20),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3, 9),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3, 1 << 20),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * 1200, 1 << 20),
    ],
)
async def test_interim_answers_are_skipped(interim: bytes, size: int, edge: Edge, backend: Callable[..., Any]) -> None:
    await backend(plays(*pieces(interim + answer(), size)))
    for found in await both(edge, post()):
        assert (found.status, found.json) == (200, {"ok": True})


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"\x00" * 70_000,
        b"\r\n\r\n",
    ],
)
async def test_garbage_from_a_backend_is_a_502(garbage: bytes, edge: Edge, backend: Callable[..., Any]) -> None:
    await backend(plays(garbage))
    async with await edge.connect() as wire:
        wire.send(post())
        found = await wire.answer()
        assert (found.status, found.reason) == (502, "backend_failed")
        wire.send(get("/healthz"))
        assert (await wire.answer()).status == 200


async def test_bytes_after_an_answer_never_reach_the_next_client(edge: Edge, backend: Callable[..., Any]) -> None:
    """A backend that sends more than it announced: its connection is not used again."""
    poison = answer(b'{"poison":true}')
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b'{"ok":true}') + LAST
    for first in (answer(), chunked):
        found = await backend(in_turn(plays(first + poison), plays(answer())))
        for _ in range(3):
            assert (await edge.ask(post())).json == {"ok": True}
        assert found.connections == 2
    late = await backend(in_turn(plays(answer(), poison), plays(answer())))
    assert (await edge.ask(post())).json == {"ok": True}
    await until(lambda: not edge.gateway.services["m"].backends[f"r{late.port}"].pool)
    assert (await edge.ask(post())).json == {"ok": True}


# ---------------------------------------------------------------- old clients


@pytest.mark.parametrize("end", [b"", LAST])
async def test_a_client_of_http_1_0_gets_events_without_chunks(
    end: bytes, edge: Edge, backend: Callable[..., Any]
) -> None:
    await backend(plays(SSE_HEAD, chunk(event("a")), chunk(event("b") + DONE), end, then="keep" if end else "close"))
    async with await edge.connect() as wire:
        wire.send(post(CHAT, body(stream=True), version="1.0"))
        head = await wire.head()
        assert "transfer-encoding" not in head.headers
        assert head.headers["connection"] == "close"
        content = await wire.rest()
    assert content.startswith(event("a") + event("b") + DONE)
    assert (b'"error"' in content) == (not end)


async def test_a_client_of_http_1_0_that_must_wait(edge: Edge, backend: Callable[..., Any]) -> None:
    found = await backend(CHUNKED, attach=False)
    async with await edge.connect() as wire:
        wire.send(post(CHAT, body(stream=True), version="1.0"))
        await edge.held()
        edge.backends(found.port)
        head = await wire.head()
        assert head.headers["x-hearth-cold-start"] == "true"
        assert await wire.rest() == EVENTS


# ---------------------------------------------------------------- one connection, many requests


async def test_states_of_one_request_do_not_leak_into_the_next(edge: Edge, backend: Callable[..., Any]) -> None:
    """Streams, unary answers, errors and refusals in every order on one connection."""
    huge = b"data: " + b"x" * (1 << 20) + b"\n\n"

    async def handler(call: Call) -> None:
        await call.read_body()
        kind = json.loads(call.body).get("kind") if call.body else "unary"
        if kind == "unary":
            call.send(answer())
        elif kind == "stream":
            call.send(CHUNKED)
        elif kind == "huge":
            call.send(SSE_HEAD + b"%x\r\n" % len(huge) + huge + b"\r\n" + chunk(DONE) + LAST)
        elif kind == "cut":
            call.send(SSE_HEAD + SOME)
            call.close()
        elif kind == "bad":
            call.send(answer(b"{}", status="400 Bad Request"))

    await backend(handler)
    kinds = ["unary", "stream", "cut", "huge", "bad", "stream", "huge", "cut", "unary", "cut", "stream", "bad", "cut"]
    async with await edge.connect() as wire:
        for kind in kinds:
            wire.send(post(content=body(kind=kind, stream=kind not in ("unary", "bad"))))
            found = await wire.answer()
            assert found.complete, kind
            if kind == "unary":
                assert found.json == {"ok": True}
            elif kind == "stream":
                check(found)
            elif kind == "huge":
                assert found.body == huge + DONE
            elif kind == "cut":
                assert found.events[-1]["error"]["code"] == 502
            else:
                assert found.status == 400
            wire.send(get("/version"))
            assert (await wire.answer()).json == {"ok": True}
