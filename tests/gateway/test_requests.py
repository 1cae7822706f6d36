"""Which service a request goes to, what of it the backend sees, and what never reaches a backend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from hearth_gateway.http.local_routes import LOCAL_ROUTES
from tests.gateway.support import CHAT, Call, Edge, answer, body, get, in_turn, plays, post, statuses
from tests.support.waiting import until

OK = answer()
LOCAL = ["/v1/models/m", *(route.path.decode() for route in LOCAL_ROUTES)]


async def echo(call: Call) -> None:
    """Answer with what came: the request line, the headers and the body."""
    await call.read_body()
    seen = {"line": call.line, "headers": call.headers, "body": call.body.decode("latin-1")}
    call.send(answer(json.dumps(seen).encode()))


@pytest.mark.parametrize(
    "path",
    [
        CHAT, "/v1/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings",
        "/tokenize", "/detokenize", "/pooling", "/classify", "/score", "/v1/score", "/rerank", "/v1/rerank",
        "/v2/rerank", "/v2/embed", "/invocations", "/v1/chat/completions/batch",
    ],
)  # fmt: skip
async def test_inference_reaches_the_backend_as_it_was_sent(path: str, edge: Edge, backend: Callable[..., Any]) -> None:
    await backend(echo)
    content = b'{ "model" : "m",  "x": [1.50, "\\u00e9"] }'
    request = post(path, content, "Authorization: Bearer k", "X-Request-Id: 7")
    seen = (await edge.ask(request)).json
    assert seen["line"] == f"POST {path} HTTP/1.1"
    assert seen["body"].encode() == content
    assert seen["headers"] == [
        ["host", "x"],
        ["content-type", "application/json"],
        ["authorization", "Bearer k"],
        ["x-request-id", "7"],
        ["content-length", str(len(content))],
    ]


async def test_an_alias_is_renamed_and_every_other_byte_kept(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "aliases": ["gpt-4", "org/name"]})
    await backend(echo)
    for alias in ("gpt-4", "org/name"):
        content = (
            b'{"n":1.50,"model":"%b","text":"\\u00e9 \xc3\xa9","deep":{"model":"gpt-4"},"big":12345678901234567890}'
        )
        seen = (await edge.ask(post(CHAT, content % alias.encode()))).json
        assert seen["body"].encode("latin-1") == content % b"m"


async def test_two_services_by_model(edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "aliases": ["first"]}, {"name": "n", "aliases": ["second"]})
    one, two = await backend(OK), await backend(OK, name="n")
    for model in ("m", "n", "first", "second", "n"):
        assert (await edge.ask(post(content=body(model=model)))).status == 200
    assert (len(one.requests), len(two.requests)) == (2, 3)


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("/m/v1/chat/completions", "/v1/chat/completions"),
        ("/m/v1/chat/completions?a=b&c", "/v1/chat/completions?a=b&c"),
        ("/nick/v1/completions", "/v1/completions"),
        ("/%6d/v1/completions", "/v1/completions"),
        ("/org%2Fname/v1/completions", "/v1/completions"),
        ("/v1/chat/completions?api-version=1", "/v1/chat/completions?api-version=1"),
        ("http://any.host:99/v1/chat/completions?x=1", "/v1/chat/completions?x=1"),
        ("http://any.host/m/tokenize", "/tokenize"),
    ],
)
async def test_targets(target: str, line: str, edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "aliases": ["nick", "org/name"]}, "other")
    await backend(echo)
    async with await edge.connect() as wire:
        for _ in range(2):  # the second time from the gateway's memory
            wire.send(post(target, body(model="m")))
            assert (await wire.answer()).json["line"] == f"POST {line} HTTP/1.1"


async def test_the_prefix_wins_over_a_foreign_model_name(edge: Edge, backend: Callable[..., Any]) -> None:
    """A LoRA adapter's name is the backend's business."""
    edge.serve("m", "other")
    await backend(echo)
    seen = (await edge.ask(post("/m/v1/completions", body(model="lora-1")))).json
    assert json.loads(seen["body"])["model"] == "lora-1"


@pytest.mark.parametrize(
    "host",
    [
        "m",
        "M",
        "m:80",
        "m.ai",
        "m.ai:8080",
        "m.ai.svc",
        "m.ai.svc.cluster.local:80",
        "M.AI.svc.cluster.local",
        "m.ai.svc.k8s.lan",
    ],
)
async def test_the_host_pins_a_service(host: str, edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "namespace": "ai"}, "other")
    found = await backend(OK)
    for model in (None, "m", "adapter"):
        assert (await edge.ask(post(content=body(model=model), host=host))).status == 200
    assert len(found.requests) == 3
    models = (await edge.ask(get("/v1/models", host=host))).json["data"]
    assert [card["id"] for card in models] == ["m"]
    mismatch = await edge.ask(post("/other/v1/completions", body(), host=host))
    assert (mismatch.status, mismatch.reason) == (404, "model_mismatch")


@pytest.mark.parametrize("host", ["m.other-namespace", "mm", "x.m.ai", "[::1]:80", "127.0.0.1", ""])
async def test_other_hosts_pin_nothing(host: str, edge: Edge) -> None:
    edge.serve({"name": "m", "namespace": "ai"}, "other")
    found = await edge.ask(post(content=body(model=None), host=host))
    assert (found.status, found.reason) == (400, "no_model")


@pytest.mark.parametrize(
    ("request_", "status", "reason", "words"),
    [
        (post(content=body(model="nope")), 404, "model_not_found", ["nope", "Valid names: m, other"]),
        (post(content=body(model=None)), 400, "no_model", ["`model`", "m, other"]),
        (post(content=b'{"model": 7}'), 400, "no_model", ["m, other"]),
        (post(content=b""), 400, "bad_body", ["empty"]),
        (post(content=b"[1]"), 400, "bad_body", ["JSON"]),
        (post(content=b'{"model":"m"'), 400, "bad_body", ["JSON"]),
        (post(content=b'{"model":"m\xff"}'), 400, "bad_body", ["JSON"]),
        (post("/v1/unknown"), 404, "unknown_path", ["/v1/unknown"]),
        (post("/nope/v1/completions"), 404, "unknown_path", ["/nope/v1/completions"]),
        (post("/m/v1/unknown"), 404, "unknown_path", ["/m/v1/unknown"]),
        (post("/m"), 404, "unknown_path", ["/m"]),
        (post("http://host"), 404, "unknown_path", ["http://host"]),
        (post("/v1/chat%2Fcompletions"), 404, "unknown_path", []),
        (post("/x/../v1/completions"), 404, "unknown_path", []),
        (post("/sleep"), 404, "unknown_path", []),
        (get(CHAT), 405, "method_not_allowed", ["GET", "POST"]),
        (get(CHAT, method="DELETE"), 405, "method_not_allowed", ["DELETE"]),
        (get("/v1/models", method="PUT"), 405, "method_not_allowed", ["PUT", "GET, HEAD"]),
        (get("/v1/models/nope"), 404, "model_not_found", ["nope"]),
        (get("*", method="OPTIONS"), 404, "unknown_path", []),
    ],
)  # fmt: skip
async def test_refusals_are_openai_errors(
    request_: bytes, status: int, reason: str | None, words: list[str], edge: Edge
) -> None:
    edge.serve("m", "other")
    async with await edge.connect() as wire:
        wire.send(request_)
        found = await wire.answer()
        assert (found.status, found.reason) == (status, reason)
        assert found.headers["content-type"] == "application/json"
        assert set(found.error) == {"message", "type", "param", "code"}
        assert found.error["code"] == status
        for word in words:
            assert word in found.error["message"]
        if status == 405:
            assert found.headers["allow"]
        wire.send(get("/healthz"))  # and the connection goes on
        assert (await wire.answer()).status == 200
    assert edge.gateway.stats("m").demand == 0


async def test_one_service_needs_no_model(edge: Edge, backend: Callable[..., Any]) -> None:
    found = await backend(OK)
    for content in (b"{}", b'{"model":null}', b'{"model":""}', b'{"model":["m"]}'):
        assert (await edge.ask(post(content=content))).status == 200
    assert len(found.requests) == 4


@pytest.mark.parametrize("path", [*LOCAL, "/v1/models?x=1", "/m/v1/models", "/m/hearth/queue", "http://h/v1/models"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("warm", [True, False])
async def test_local_answers_touch_no_backend(
    path: str, method: str, warm: bool, edge: Edge, backend: Callable[..., Any]
) -> None:
    found = await backend(OK, ready=warm)
    async with await edge.connect() as wire:
        wire.send(get(path, method=method))
        head = await wire.answer(head_only=method == "HEAD")
        assert head.status == 200
        wire.send(get("/healthz"))
        assert (await wire.answer()).body == b"ok\n"
    assert (found.requests, found.probes, found.connections) == ([], 0, 0)
    stats = edge.gateway.stats("m")
    assert (stats.demand, stats.activating) == (0, False)


@pytest.mark.parametrize("path", ["/nope", CHAT, "/v1/models/nope", "/version"])
async def test_a_refused_head_request_has_no_body(path: str, edge: Edge) -> None:
    async with await edge.connect() as wire:
        wire.send(get(path, method="HEAD"))
        assert (await wire.answer(head_only=True)).status in (404, 405, 503)
        wire.send(get("/healthz"))
        assert (await wire.answer()).body == b"ok\n"


async def test_models_are_those_of_the_table(edge: Edge) -> None:
    edge.serve({"name": "m", "aliases": ["org/name"]}, "n")
    cards = (await edge.ask(get("/v1/models"))).json
    assert cards["object"] == "list"
    assert [(card["id"], card["root"]) for card in cards["data"]] == [("m", "m"), ("org/name", "m"), ("n", "n")]
    for path in ("org/name", "org%2Fname"):  # the second is what openai-python sends
        assert (await edge.ask(get(f"/v1/models/{path}"))).json["id"] == "org/name"
    assert (await edge.ask(get("/n/v1/models/m"))).status == 404


async def test_queue_and_metrics_show_what_waits(edge: Edge) -> None:
    edge.serve("m", "n")
    async with await edge.connect() as wire:
        wire.send(post())
        await edge.held()
        edge.gateway.set_notice("m", "needs 2 devices, 1 is free")
        queue = (await edge.ask(get("/hearth/queue"))).json
        assert queue["pending"] == 1
        entry = queue["services"]["m"]
        assert (entry["held"], entry["pending"], entry["activating"]) == (1, 1, True)
        assert entry["notice"] == "needs 2 devices, 1 is free"
        assert queue["services"]["n"]["pending"] == 0
        metrics = (await edge.ask(get("/metrics"))).body.decode()
    assert 'hearth_gateway_pending{namespace="default",service="m"} 1\n' in metrics
    await until(lambda: not edge.gateway.stats("m").held)


@pytest.mark.parametrize("path", ["/version", "/load", "/tokenizer_info", "/v1/responses/resp_1"])
async def test_reading_from_the_engine_never_wakes_it(path: str, edge: Edge, backend: Callable[..., Any]) -> None:
    found = await backend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ready=False)
    cold = await edge.ask(get(path))
    assert (cold.status, cold.reason) == (503, "cold_no_wake")
    assert edge.gateway.stats("m").demand == 0
    edge.backends(found.port)
    assert (await edge.ask(get(path))).body == b"hi"
    assert (found.probes, found.requests) == (0, [f"GET {path} HTTP/1.1"])


async def test_head_of_a_passed_path(edge: Edge, backend: Callable[..., Any]) -> None:
    await backend(in_turn(plays(b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n"), plays(OK)))
    async with await edge.connect() as wire:
        wire.send(get("/version", method="HEAD"))
        assert (await wire.answer(head_only=True)).status == 200
        wire.send(get("/version"))
        assert (await wire.answer()).json == {"ok": True}


FORM = (
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    b"RIFF\r\n\x00\xff\r\n\r\n--C\r\n"
    b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
    b'--B\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n--B--\r\n'
)


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
async def test_audio_forms_are_routed_by_their_field(path: str, edge: Edge, backend: Callable[..., Any]) -> None:
    edge.serve({"name": "m", "aliases": ["whisper-1"]}, "n")
    await backend(echo)
    for model in (b"m", b"whisper-1"):
        content = FORM % model
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n"
        seen = (await edge.ask(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)).json
        assert seen["body"].encode("latin-1") == FORM % b"m"
    missing = await edge.ask(f"{head}Content-Length: 9\r\n\r\n--B--\r\n\r\n".encode())
    assert (missing.status, missing.reason) == (400, "no_model")


async def test_hop_headers_stay_on_their_hop(edge: Edge, backend: Callable[..., Any]) -> None:
    await backend(echo)
    async with await edge.connect() as wire:
        wire.send(
            post(CHAT, body(), "Connection: x-private, keep-alive", "X-Private: 1", "Keep-Alive: timeout=5", "TE: trailers",
                 "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Proxy-Authorization: Basic x", "X-Kept: 2")
        )  # fmt: skip
        names = [name for name, _ in (await wire.answer()).json["headers"]]
        assert names == ["host", "content-type", "x-kept", "content-length"]
        wire.send(post(CHAT, body(), "Connection: close"))
        last = await wire.answer()
        assert last.headers["connection"] == "close"
        assert "connection" not in [name for name, _ in last.json["headers"]]
        assert await wire.ended()


async def test_headers_that_two_connection_headers_name(edge: Edge, backend: Callable[..., Any]) -> None:
    await backend(echo)
    seen = (await edge.ask(post(CHAT, body(), "Connection: x-a", "Connection: x-b", "X-A: 1", "X-B: 2"))).json
    assert not {"x-a", "x-b"} & {name for name, _ in seen["headers"]}


async def test_a_busy_model_is_429_and_held_requests_do_not_count(edge: Edge, backend: Callable[..., Any]) -> None:
    release = asyncio.Event()

    async def wait(call: Call) -> None:
        await call.read_body()
        await release.wait()
        call.send(OK)

    edge.serve({"name": "m", "limits": {"maxInFlight": 3}})
    await backend(wait)
    asked = [asyncio.create_task(edge.ask(post())) for _ in range(8)]
    await until(lambda: sum(task.done() for task in asked) == 5)
    release.set()
    found = await asyncio.gather(*asked)
    assert statuses(found) == [200] * 3 + [429] * 5
    refused = next(each for each in found if each.status == 429)
    assert (refused.reason, refused.headers["retry-after"]) == ("too_many_requests", "1")
    assert (await edge.ask(post())).status == 200


async def test_a_service_may_allow_more_than_the_default_size(edge: Edge, backend: Callable[..., Any]) -> None:
    """The limit of the service is the one that the error names."""
    edge.serve(
        {"name": "m", "limits": {"maxRequestBytes": 48 << 20}}, {"name": "n", "limits": {"maxRequestBytes": 1000}}
    )
    await backend(OK)
    assert (await edge.ask(post(content=body(pad="x" * (40 << 20))))).status == 200
    small = await edge.ask(post(content=body(model="n", pad="x" * 1000)))
    assert (small.status, small.reason) == (413, "request_too_large")
    assert "1000" in small.error["message"]


async def test_warm_requests_go_where_the_least_are(edge: Edge, backend: Callable[..., Any]) -> None:
    release = asyncio.Event()

    async def wait(call: Call) -> None:
        await call.read_body()
        await release.wait()
        call.send(OK)

    one, two = await backend(wait), await backend(wait, attach=False)
    edge.backends(one.port, two.port)
    asked = [asyncio.create_task(edge.ask(post())) for _ in range(10)]
    await until(lambda: len(one.requests) + len(two.requests) == 10)
    assert (len(one.requests), len(two.requests)) == (5, 5)
    release.set()
    assert statuses(await asyncio.gather(*asked)) == [200] * 10
