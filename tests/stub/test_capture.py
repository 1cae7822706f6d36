"""Every recorded answer of a real vLLM 0.32.0 against the stub's: status, headers, keys in order, types, errors."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from tests.stub.support import Stub, captured, events, raw

PAIRS = captured("vllm-0.32.0-cpu-apikey")
SAME_TEXT = {"health", "ping", "version", "load", "is_sleeping"}
"""Answers that hold nothing of the moment: compared byte by byte, as all errors are."""
EXACT = ("object", "model", "role", "finish_reason", "status", "type", "owned_by", "root", "max_model_len", "reason")


def shape(value: Any) -> Any:
    """Keys in order and types; lists by the shapes that occur in them."""
    if isinstance(value, dict):
        return [(key, shape(item) if key not in EXACT else item) for key, item in value.items()]
    if isinstance(value, list):
        shapes = []
        for item in map(shape, value):
            if item not in shapes:
                shapes.append(item)
        return ["list", *shapes]
    return type(value).__name__


def stream_shape(body: str) -> list[Any]:
    """Shapes of the events, choice by choice: how choices interleave is the scheduler's business."""
    found = events(body)
    found.sort(key=lambda event: event["choices"][0]["index"] if event != "data: [DONE]" and event["choices"] else 9)
    return [shape(event) if isinstance(event, dict) else event for event in found]


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["name"] for pair in PAIRS])
async def test_answer_is_as_captured(pair: dict[str, Any], shared: Stub, http: aiohttp.ClientSession) -> None:
    given = pair["request"]
    data = None if given is None else (given if isinstance(given, str) else json.dumps(given)).encode()
    headers = {"Content-Type": "application/json", **pair["request_headers"]} if data is not None else {}
    async with http.request(pair["method"], shared.url + pair["path"], data=data, headers=headers) as response:
        body = await response.text()
    assert response.status == pair["status"]
    assert {name.lower() for name in response.headers} == set(pair["headers"])
    for name in ("content-type", "allow", "server", "vary"):
        assert response.headers.get(name) == pair["headers"].get(name)
    if pair["status"] != 200 or pair["name"] in SAME_TEXT:
        assert body == pair["body"]
    elif pair["body"].startswith("data: "):
        assert stream_shape(body) == stream_shape(pair["body"])
        assert body.endswith("\n\n")
    else:
        assert shape(json.loads(body)) == shape(json.loads(pair["body"]))
        assert body == json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False)


async def test_every_event_is_one_chunk(shared: Stub) -> None:
    seen, _ = await raw(shared, "Connection: close", stream=True)
    body = seen.partition(b"\r\n\r\n")[2]
    chunks = []
    while body:
        size, _, body = body.partition(b"\r\n")
        chunks.append(body[: int(size, 16)])
        assert body[len(chunks[-1]) :].startswith(b"\r\n")
        body = body[len(chunks[-1]) + 2 :]
    assert chunks.pop() == b""
    assert len(chunks) == 1 + 4 + 1 + 1  # role, tokens, finish, [DONE]
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in chunks)


async def test_developer_routes_are_absent_by_default(start: Any, http: aiohttp.ClientSession) -> None:
    [sleeping] = [pair for pair in captured("vllm-0.32.0-cpu") if pair["name"] == "is_sleeping"]
    async with http.get(start().url + "/is_sleeping") as response:
        assert (response.status, await response.text()) == (sleeping["status"], sleeping["body"])
