"""Routes and options that the recorded answers do not show."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp
import pytest

from tests.stub.support import CHAT, Stub, content, events

STREAM = {**CHAT, "stream": True}


async def post(http: aiohttp.ClientSession, stub: Stub, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    async with http.post(stub.url + path, json=body, headers=headers) as response:
        return response.status, json.loads(await response.text())


async def test_keys_guard_the_api_and_nothing_else(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--api-key", "one", "two")
    for path in ("/v1/models", "/v1/nope"):
        async with http.get(stub.url + path) as response:
            assert (response.status, await response.text()) == (401, '{"error":"Unauthorized"}')
    for path in ("/health", "/metrics", "/version", "/load", "/ping"):
        async with http.get(stub.url + path) as response:
            assert response.status == 200
    assert (await post(http, stub, "/tokenize", {"prompt": "hi"}))[0] == 200
    assert (await post(http, stub, "/v1/chat/completions", CHAT, Authorization="Bearer no"))[0] == 401
    assert (await post(http, stub, "/v1/chat/completions", CHAT, Authorization="Bearer two"))[0] == 200


async def test_every_served_name_is_accepted_and_the_first_answers(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--served-model-name", "big", "alias")
    async with http.get(stub.url + "/v1/models") as response:
        assert [card["id"] for card in (await response.json())["data"]] == ["big", "alias"]
    status, body = await post(http, stub, "/v1/chat/completions", {**CHAT, "model": "alias"})
    assert (status, body["model"]) == (200, "big")
    status, body = await post(http, stub, "/v1/completions", {"model": "tiny", "prompt": "x"})
    assert (status, body["error"]["message"]) == (404, "The model `tiny` does not exist. Valid aliases: big, alias.")


async def test_length_limits(shared: Stub, http: aiohttp.ClientSession) -> None:
    long = {"messages": [{"role": "user", "content": "x" * 4 * 600}]}
    status, body = await post(http, shared, "/v1/chat/completions", long)
    assert (status, body["error"]["param"]) == (400, "input_tokens")
    assert body["error"]["message"].startswith("This model's maximum context length is 512 tokens.")
    status, body = await post(http, shared, "/v1/chat/completions", {**CHAT, "max_tokens": 0})
    assert (status, body["error"]["param"]) == (400, "max_tokens")
    body = (await post(http, shared, "/v1/chat/completions", {**CHAT, "max_completion_tokens": 3}))[1]
    assert (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 3)
    body = (await post(http, shared, "/v1/chat/completions", CHAT))[1]
    assert (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"]) == ("stop", 16)
    body = (await post(http, shared, "/v1/chat/completions", {**CHAT, "max_tokens": 40, "ignore_eos": True}))[1]
    assert body["usage"]["completion_tokens"] == 40


async def test_a_body_of_several_megabytes_is_read(shared: Stub, http: aiohttp.ClientSession) -> None:
    parts = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x" * 3_000_000}}]
    body = io.BytesIO(json.dumps({"messages": [{"role": "user", "content": parts}]}).encode())
    headers = {"Content-Type": "application/json"}
    async with http.post(shared.url + "/v1/chat/completions", data=body, headers=headers) as response:
        assert response.status == 200


async def test_expect_continue(shared: Stub, http: aiohttp.ClientSession) -> None:
    async with http.post(shared.url + "/v1/chat/completions", json=CHAT, expect100=True) as response:
        assert response.status == 200


@pytest.mark.parametrize("prompt", [["a", "b"], [[1, 2], [3]]])
async def test_batches_of_prompts(prompt: Any, shared: Stub, http: aiohttp.ClientSession) -> None:
    body = (await post(http, shared, "/v1/completions", {"prompt": prompt, "n": 2}))[1]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": "hi"}, "body.messages"),
        ("/v1/chat/completions", {**CHAT, "n": "two"}, "body.n"),
        ("/v1/chat/completions", {**CHAT, "n": 0}, "n"),
        ("/v1/completions", {}, "body.prompt"),
        ("/v1/completions", {"prompt": []}, "prompt"),
        ("/v1/messages", CHAT, "body.max_tokens"),
        ("/v1/chat/completions", [], "body"),
        ("/v1/chat/completions?tokens=x", CHAT, "tokens"),
    ],
)
async def test_bad_fields(path: str, body: Any, param: str, shared: Stub, http: aiohttp.ClientSession) -> None:
    status, answer = await post(http, shared, path, body)
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, 400, param)


async def test_continuous_usage_counts_up(shared: Stub, http: aiohttp.ClientSession) -> None:
    body = {**STREAM, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    async with http.post(shared.url + "/v1/chat/completions?tokens=3", json=body) as response:
        found = events(await response.text())
    assert [event["usage"]["completion_tokens"] for event in found[:-1]] == [0, 1, 2, 3, 3, 3]


async def test_request_ids(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--enable-request-id-headers")
    async with http.post(stub.url + "/v1/chat/completions", json=CHAT, headers={"X-Request-Id": "r7"}) as response:
        assert response.headers["X-Request-Id"] == "r7"
        assert (await response.json())["id"] == "chatcmpl-r7"


async def test_load_is_tracked_on_demand(start: Any, http: aiohttp.ClientSession) -> None:
    for flags, load in (([], 0), (["--enable-server-load-tracking"], 1)):
        stub = start(*flags, env={"STUB_TOKEN_DELAY": "1m"})
        async with http.post(f"{stub.url}/v1/chat/completions?tokens=2", json=STREAM) as response:
            assert response.status == 200
            async with http.get(stub.url + "/load") as answer:
                assert await answer.json() == {"server_load": load}


async def test_engine_sends_comments_when_asked(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--sse-keep-alive-interval=0.05", env={"STUB_PREFILL_DELAY": "300ms"})
    async with http.post(f"{stub.url}/v1/chat/completions?tokens=2", json=STREAM) as response:
        body = await response.text()
    assert body.startswith(": keep-alive\n\n: keep-alive\n\n")
    assert content(body) == "Hello 1"


async def test_a_full_queue_is_503(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--max-num-queued-reqs=1", env={"STUB_TOKEN_DELAY": "1m"})
    async with http.post(f"{stub.url}/v1/chat/completions?tokens=2", json=STREAM):
        status, body = await post(http, stub, "/v1/chat/completions", STREAM)
    assert (status, body["error"]["type"]) == (503, "Service Unavailable")


async def test_embeddings_replace_generation(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--runner", "pooling")
    status, body = await post(http, stub, "/v1/embeddings", {"model": "tiny", "input": ["a", "b"]})
    assert status == 200
    assert list(body) == ["id", "object", "created", "model", "data", "usage"]
    assert [list(item) for item in body["data"]] == [["index", "object", "embedding"]] * 2
    assert (await post(http, stub, "/v1/chat/completions", CHAT))[0] == 404


async def test_sleep_and_wake(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--enable-sleep-mode", env={"VLLM_SERVER_DEV_MODE": "1"})

    async def sleeping() -> tuple[bool, bool]:
        async with http.get(stub.url + "/is_sleeping") as response:
            flag = (await response.json())["is_sleeping"]
        async with http.get(stub.url + "/metrics") as response:
            return flag, 'sleep_state="weights_offloaded"} 1.0' in await response.text()

    assert await post(http, stub, "/sleep?level=1", None) == (200, {"status": "sleeping", "level": 1})
    assert await sleeping() == (True, True)
    status, body = await post(http, stub, "/v1/chat/completions", CHAT)
    assert (status, body["error"]["type"]) == (503, "ServiceUnavailableError")
    async with http.post(stub.url + "/v1/chat/completions", json=STREAM) as response:
        assert response.status == 200
        assert events(await response.text())[0]["error"]["code"] == 503
    async with http.get(stub.url + "/health") as response:
        assert response.status == 200
    assert await post(http, stub, "/wake_up?tags=weights", None) == (200, {"status": "sleeping", "tags": ["weights"]})
    assert await post(http, stub, "/wake_up", None) == (200, {"status": "awake", "tags": None})
    assert await sleeping() == (False, False)
    assert (await post(http, stub, "/sleep?level=9", None))[0] == 400


async def test_control_freezes_gauges_and_changes_the_pace(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start()

    async def metrics() -> str:
        async with http.get(stub.url + "/metrics") as response:
            return await response.text()

    # the reference stub's call: no content type, short names
    async with http.post(stub.url + "/control", data=b'{"waiting": 5, "vllm:kv_cache_usage_perc": 0.5}') as response:
        assert (await response.json())["frozen"] == {"num_requests_waiting": 5, "kv_cache_usage_perc": 0.5}
    assert 'vllm:num_requests_waiting{engine="0",model_name="tiny"} 5.0' in await metrics()
    assert (await post(http, stub, "/control", {"waiting": None, "kv_cache_usage": None}))[1]["frozen"] == {}
    assert 'vllm:num_requests_waiting{engine="0",model_name="tiny"} 0.0' in await metrics()

    await post(http, stub, "/control", {"token_count": 3, "fault": "status=503", "times": 1})
    assert (await post(http, stub, "/v1/chat/completions", CHAT))[0] == 503
    status, body = await post(http, stub, "/v1/chat/completions", CHAT)
    assert (status, body["usage"]["completion_tokens"]) == (200, 3)
    assert (await post(http, stub, "/control", {}))[1]["requests"] == 2

    await post(http, stub, "/control", {"health": 503})
    async with http.get(stub.url + "/health") as response:
        assert (response.status, await response.read()) == (503, b"")
    await post(http, stub, "/control", {"health": "hang"})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(http.get(stub.url + "/health"), 0.1)
    await post(http, stub, "/control", {"health": None})
    async with http.get(stub.url + "/health") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"waitin": 1},
        {"fault": "nope"},
        {"health": 500},
        {"times": 2},
        {"token_delay": "fast"},
        {"running": "x"},
        {"die": False},
    ],
)
async def test_control_explains_what_it_refuses(body: Any, shared: Stub, http: aiohttp.ClientSession) -> None:
    status, answer = await post(http, shared, "/control", body)
    assert status == 400
    assert next(iter(body)) in answer["error"]["message"]


async def test_dying_on_command_without_leaving(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start(env={"VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "1", "STUB_DEATH_DELAY": "0s"})
    await post(http, stub, "/control", {"die": True})
    async with http.get(stub.url + "/health") as response:
        assert response.status == 503
    assert (await post(http, stub, "/v1/chat/completions", CHAT))[0] == 500
    assert stub.popen.poll() is None
