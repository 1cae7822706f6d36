"""Faults: how they are written, and what they do on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stub.support import CHAT, Stub, content, events, raw
from vllm_stub.faults import AFTER_TOKENS, OTHERS, Fault, FaultError, Faults, parse_fault

STREAM = {**CHAT, "stream": True}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("error", Fault("error", after=1)),
        ("reset=0", Fault("reset", after=0)),
        ("exit", Fault("exit", after=0)),
        ("hang=3/250ms", Fault("hang", after=3, seconds=0.25)),
        ("hang-headers=2s", Fault("hang-headers", seconds=2.0)),
        ("status=429", Fault("status", status=429)),
        ("cut=2;once", Fault("cut", after=2, once="cut=2")),
        ("cut=2; once=a", Fault("cut", after=2, once="a")),
    ],
)
def test_notation(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    "text", ["nope", "status=200", "status", "error=x", "cut=-1", "cut=1/2s", "cut;twice", "hang=1/x"]
)
def test_errors_show_the_fault(text: str) -> None:
    with pytest.raises(FaultError) as caught:
        parse_fault(text)
    assert repr(text) in str(caught.value)


@given(st.sampled_from([*AFTER_TOKENS, *OTHERS]), st.text())
def test_anything_parses_or_says_why(name: str, rest: str) -> None:
    text = name + rest
    try:
        outcome = parse_fault(text).name
    except FaultError as error:
        outcome = str(error)
    assert outcome == name or repr(text) in outcome


def test_a_standing_fault_ends_after_its_times() -> None:
    faults = Faults()
    faults.stand("cut", times=2)
    struck = [faults.pick(None) is not None for _ in range(4)]
    assert struck == [True, True, False, False]
    assert faults.state() == {"fault": None, "times": None}


def test_once_strikes_once_per_key() -> None:
    faults = Faults()
    struck = [faults.pick(f"cut;once={key}") is not None for key in "aabba"]
    assert struck == [True, False, True, False, False]


async def chat(http: aiohttp.ClientSession, stub: Stub, fault: str, body: Any = STREAM) -> tuple[int, str]:
    async with http.post(
        f"{stub.url}/v1/chat/completions?tokens=4", json=body, headers={"X-Stub-Fault": fault}
    ) as response:
        return response.status, await response.text()


async def test_error_event_then_done(shared: Stub, http: aiohttp.ClientSession) -> None:
    status, body = await chat(http, shared, "error=2")
    assert (status, content(body)) == (200, "Hello 1")
    *_, error, done = events(body)
    assert error == {
        "error": {"message": "Internal server error", "type": "InternalServerError", "param": None, "code": 500}
    }
    assert done == "data: [DONE]"
    assert (await chat(http, shared, "error", CHAT))[0] == 500


async def test_clean_end_without_done(shared: Stub, http: aiohttp.ClientSession) -> None:
    status, body = await chat(http, shared, "truncate=2")
    assert (status, content(body)) == (200, "Hello 1")
    assert "[DONE]" not in body
    assert 'finish_reason":"' not in body


async def test_abort_is_a_finish_reason(shared: Stub, http: aiohttp.ClientSession) -> None:
    _, body = await chat(http, shared, "abort=2")
    assert events(body)[-2]["choices"][0]["finish_reason"] == "abort"
    _, body = await chat(http, shared, "abort=2", CHAT)
    assert '"finish_reason":"abort"' in body


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_status(status: int, body: Any, shared: Stub, http: aiohttp.ClientSession) -> None:
    seen, text = await chat(http, shared, f"status={status}", body)
    assert seen == status
    assert f'"code":{status}' in text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("fault", "end"), [("reset=0", ConnectionResetError), ("cut=0", None)])
async def test_nothing_but_the_end_of_the_connection(
    fault: str, end: type[BaseException] | None, stream: bool, shared: Stub
) -> None:
    assert await raw(shared, f"X-Stub-Fault: {fault}", stream=stream) == (b"", end)


async def test_reset_in_the_middle_of_a_chunk(shared: Stub) -> None:
    seen, end = await raw(shared, "X-Stub-Fault: reset=2", stream=True)
    assert end is ConnectionResetError
    assert b'"content":" 1"' in seen
    assert not seen.endswith(b"\r\n")


async def test_cut_between_two_chunks(shared: Stub) -> None:
    seen, end = await raw(shared, "X-Stub-Fault: cut=2", stream=True)
    assert end is None
    assert b'"content":" 1"' in seen
    assert seen.endswith(b"}\n\n\r\n")


@pytest.mark.parametrize(("fault", "end"), [("reset", ConnectionResetError), ("cut", None)])
async def test_unary_answer_breaks_off(fault: str, end: type[BaseException] | None, shared: Stub) -> None:
    seen, how = await raw(shared, f"X-Stub-Fault: {fault}", stream=False)
    head, _, body = seen.partition(b"\r\n\r\n")
    assert how is end
    assert b"Content-Length: " in head
    assert 0 < len(body) < int(head.partition(b"Content-Length: ")[2].split()[0])


async def test_hang_before_the_headers(shared: Stub, http: aiohttp.ClientSession) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chat(http, shared, "hang-headers"), 0.1)
    assert (await chat(http, shared, "hang-headers=10ms"))[0] == 200


@pytest.mark.parametrize("after", [0, 2])
async def test_hang_between_tokens(after: int, shared: Stub, http: aiohttp.ClientSession) -> None:
    seen = bytearray()

    async def read(response: aiohttp.ClientResponse) -> None:
        async for data in response.content.iter_any():
            seen.extend(data)

    async with http.post(
        f"{shared.url}/v1/chat/completions?tokens=4", json=STREAM, headers={"X-Stub-Fault": f"hang={after}"}
    ) as response:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(response), 0.2)
    assert content(seen.decode()) == "Hello 1"[: 7 if after else 0]
    status, body = await chat(http, shared, f"hang={after}/20ms")
    assert (status, content(body)) == (200, "Hello 1 2 3")


async def test_query_parameter_and_unknown_fault(shared: Stub, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{shared.url}/v1/completions?fault=status=503", json={"prompt": "hi"}) as response:
        assert response.status == 503
    status, body = await chat(http, shared, "nope")
    assert status == 400
    assert "'nope'" in body


async def test_once_lets_a_replay_succeed(shared: Stub, http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientError):
        await chat(http, shared, "reset=0;once=replay")
    status, body = await chat(http, shared, "reset=0;once=replay")
    assert (status, content(body)) == (200, "Hello 1 2 3")


@pytest.mark.parametrize("after", [0, 2])
async def test_exit_leaves_no_word(after: int, start: Any) -> None:
    stub = start()
    seen, _ = await raw(stub, f"X-Stub-Fault: exit={after}", stream=True)
    assert (b'"content":" 1"' in seen) == (after == 2)
    assert b"[DONE]" not in seen
    assert stub.popen.wait(5) == 1


async def test_engine_death(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start(env={"STUB_DEATH_DELAY": "300ms"})
    bystander = asyncio.create_task(chat(http, stub, "hang=1"))
    unary = asyncio.create_task(chat(http, stub, "hang=1", CHAT))
    while True:
        async with http.get(stub.url + "/control") as response:
            if (await response.json())["running"] == 2:
                break
    _, body = await chat(http, stub, "die=2")
    for text in (body, (await bystander)[1]):
        assert "EngineCore encountered an issue." in events(text)[-2]["error"]["message"]
        assert text.endswith("data: [DONE]\n\n")
    status, text = await unary
    assert (status, '"type":"InternalServerError"' in text) == (500, True)
    async with http.get(stub.url + "/health") as response:
        assert (response.status, await response.read()) == (503, b"")
    assert (await chat(http, stub, "", CHAT))[0] == 500
    assert stub.popen.wait(5) == 1
