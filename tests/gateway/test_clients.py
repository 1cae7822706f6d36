"""The real openai client in front, a real stub process behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import openai
import pytest

from tests.gateway.support import Edge, Process
from tests.support.ports import free_port
from tests.support.waiting import until

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TEXT = "Hello 1 2 3 4 5 6 7"


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{edge.url}/v1", api_key="k", timeout=20) as found:
        yield found


async def stream_text(client: openai.AsyncOpenAI, **more: Any) -> tuple[str, str | None]:
    """Text and finish reason."""
    text, reason = "", None
    async with await client.chat.completions.create(**ASK, stream=True, **more) as stream:
        async for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
                reason = chunk.choices[0].finish_reason or reason
    return text, reason


async def unary_text(client: openai.AsyncOpenAI, **more: Any) -> tuple[str, str | None]:
    found = await client.chat.completions.create(**ASK, **more)
    return found.choices[0].message.content or "", found.choices[0].finish_reason


KINDS = {"stream": stream_text, "unary": unary_text}
Talk = Callable[..., Any]


def fault(text: str) -> dict[str, Any]:
    return {"extra_headers": {"X-Stub-Fault": text}}


async def control(stub: Process) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"{stub.url}/control") as response:
        return dict(await response.json())


@pytest.mark.parametrize("talk", KINDS.values(), ids=list(KINDS))
async def test_warm(talk: Talk, edge: Edge, client: openai.AsyncOpenAI, stub: Process) -> None:
    edge.backends(stub.port)
    for _ in range(3):
        assert await talk(client) == (TEXT, "stop")


@pytest.mark.parametrize("talk", KINDS.values(), ids=list(KINDS))
async def test_cold_and_held(talk: Talk, edge: Edge, client: openai.AsyncOpenAI, stub: Process) -> None:
    edge.serve({"name": "m", "coldStart": {"heartbeatIntervalSeconds": 0.02}})
    asked = asyncio.create_task(talk(client))
    await edge.held()
    await asyncio.sleep(0.1)  # a few heartbeats
    edge.backends(stub.port, ready=False)
    assert await asked == (TEXT, "stop")


async def test_a_stub_that_starts_while_requests_wait(edge: Edge, client: openai.AsyncOpenAI, start: Any) -> None:
    """Nothing but the address is known: connections are refused until it listens."""
    port = free_port()
    edge.backends(port, ready=False)
    asked = [asyncio.create_task(talk(client)) for talk in (*KINDS.values(), *KINDS.values())]
    await edge.held(4)
    start(port=port, env={"STUB_STARTUP_DELAY": "300ms"}, wait=False)
    assert await asyncio.gather(*asked) == [(TEXT, "stop")] * 4


@pytest.mark.parametrize("talk", KINDS.values(), ids=list(KINDS))
async def test_reject_mode_and_the_clients_own_retries(
    talk: Talk, edge: Edge, client: openai.AsyncOpenAI, stub: Process
) -> None:
    """The client obeys Retry-After; once the backend is up its retry succeeds."""
    edge.serve({"name": "m", "coldStart": {"mode": "reject"}})
    service = edge.gateway.services["m"]
    service._estimate = 0.5  # as after a quick start: Retry-After: 1
    asked = asyncio.create_task(talk(client))
    await until(lambda: service.counters.rejections.get("cold_start"))
    edge.backends(stub.port)
    assert await asked == (TEXT, "stop")
    assert service.counters.rejections == {"cold_start": 1}


async def test_reject_mode_without_retries(edge: Edge, client: openai.AsyncOpenAI) -> None:
    edge.serve({"name": "m", "coldStart": {"mode": "reject"}})
    with pytest.raises(openai.InternalServerError) as caught:
        await stream_text(client.with_options(max_retries=0))
    assert caught.value.status_code == 503
    assert "is being started" in caught.value.message
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 55


async def test_a_held_stream_that_times_out_is_an_api_error(edge: Edge, client: openai.AsyncOpenAI) -> None:
    edge.serve({"name": "m", "activationTimeoutSeconds": 0.1})
    with pytest.raises(openai.APIError) as caught:
        await stream_text(client)
    assert caught.value.code == "503"
    assert "did not become ready within 0.1 s" in caught.value.message
    with pytest.raises(openai.InternalServerError):
        await unary_text(client.with_options(max_retries=0))


@pytest.mark.parametrize("how", ["cut=2", "reset=2", "truncate=2", "exit=2"])
async def test_a_stream_that_breaks_is_an_error(
    how: str, edge: Edge, client: openai.AsyncOpenAI, stub: Process, start: Any
) -> None:
    edge.backends((start() if how.startswith("exit") else stub).port)
    with pytest.raises(openai.APIError) as caught:
        await stream_text(client, **fault(how))
    assert type(caught.value) is openai.APIError, "an error event, not a broken connection"
    assert caught.value.code == "502"


@pytest.mark.parametrize("how", ["cut", "reset"])
async def test_a_unary_answer_that_breaks_is_an_error(
    how: str, edge: Edge, client: openai.AsyncOpenAI, stub: Process
) -> None:
    edge.backends(stub.port)
    with pytest.raises(openai.APIConnectionError):
        await unary_text(client.with_options(max_retries=0), **fault(how))
    await edge_is_idle(edge)


async def edge_is_idle(edge: Edge) -> None:
    await until(lambda: edge.gateway.stats("m").in_flight == 0)


@pytest.mark.parametrize("talk", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("how", ["cut=0", "reset=0"])
async def test_a_backend_that_fails_before_the_first_byte(
    how: str, talk: Talk, edge: Edge, client: openai.AsyncOpenAI, stub: Process, request: pytest.FixtureRequest
) -> None:
    edge.backends(stub.port)
    once = f"{how};once={request.node.name.replace('=', '').replace('[', '-').replace(']', '')}"
    assert await talk(client.with_options(max_retries=0), **fault(once)) == (TEXT, "stop")
    assert edge.gateway.services["m"].counters.replays == 1


@pytest.mark.parametrize("talk", KINDS.values(), ids=list(KINDS))
async def test_a_process_that_is_killed_before_the_first_byte(
    talk: Talk, edge: Edge, client: openai.AsyncOpenAI, start: Any
) -> None:
    """The next process on the port answers; the client sees a normal answer."""
    first = start(env={"STUB_PREFILL_DELAY": "30s"})
    edge.backends(first.port)
    asked = asyncio.create_task(talk(client.with_options(max_retries=0)))
    await until(lambda: edge.gateway.stats("m").in_flight == 1)
    while (await control(first))["running"] != 1:
        pass
    first.popen.kill()
    await edge.held()
    start(port=first.port)
    assert await asked == (TEXT, "stop")


async def test_engine_death_frames_pass_through(edge: Edge, client: openai.AsyncOpenAI, start: Any) -> None:
    found = start(env={"STUB_DEATH_DELAY": "100ms"})
    edge.backends(found.port)
    with pytest.raises(openai.APIError) as caught:
        await stream_text(client, **fault("die=2"))
    assert "EngineCore encountered an issue" in caught.value.message
    assert caught.value.code == "500"


async def test_an_engine_error_after_the_held_200(edge: Edge, client: openai.AsyncOpenAI, stub: Process) -> None:
    asked = asyncio.create_task(stream_text(client, **fault("status=500")))
    await edge.held()
    edge.backends(stub.port)
    with pytest.raises(openai.APIError) as caught:
        await asked
    assert caught.value.code == "500"


async def test_errors_of_the_engine_are_the_engines(edge: Edge, client: openai.AsyncOpenAI, stub: Process) -> None:
    edge.backends(stub.port)
    for talk in KINDS.values():
        with pytest.raises(openai.RateLimitError):
            await talk(client.with_options(max_retries=0), **fault("status=429"))
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="m", messages="no list")  # type: ignore[call-overload]
    with pytest.raises(openai.NotFoundError, match="Valid names: m"):
        await client.chat.completions.create(model="nope", messages=[])


@pytest.mark.parametrize("talk", KINDS.values(), ids=list(KINDS))
async def test_a_client_that_leaves_stops_the_engine(
    talk: Talk, edge: Edge, client: openai.AsyncOpenAI, stub: Process
) -> None:
    edge.backends(stub.port)
    asked = asyncio.create_task(talk(client, **fault("hang=2")))
    while (await control(stub))["running"] != 1:
        pass
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    while (await control(stub))["running"]:
        pass
    await edge_is_idle(edge)


async def test_other_apis(edge: Edge, client: openai.AsyncOpenAI, stub: Process) -> None:
    edge.backends(stub.port)
    models = await client.models.list()
    assert [model.id for model in models.data] == ["m"]
    assert (await client.models.retrieve("m")).id == "m"
    completion = await client.completions.create(model="m", prompt="hi")
    assert completion.choices[0].text == TEXT
    events = [each.type async for each in await client.responses.create(model="m", input="hi", stream=True)]
    assert events[-1] == "response.completed"
    with pytest.raises(openai.APIError):
        async for _ in await client.responses.create(model="m", input="hi", stream=True, **fault("cut=2")):
            pass
    async with aiohttp.ClientSession() as http:
        message = {**ASK, "max_tokens": 4, "stream": True}
        async with http.post(f"{edge.url}/v1/messages", json=message) as response:
            assert "event: message_stop" in await response.text()
        async with http.post(f"{edge.url}/v1/messages", json=message, headers={"X-Stub-Fault": "reset=2"}) as response:
            assert (await response.text()).rpartition("event: ")[2].startswith("error\ndata: {")


@pytest.fixture
def outside(stub: Process) -> Iterator[str]:
    """Yield a gateway in a thread with a loop of its own, for clients that block."""
    import uvloop

    from tests.gateway.support import running

    started, ready = threading.Event(), []

    async def serve() -> None:
        async with running() as edge:
            edge.serve({"name": "m", "coldStart": {"heartbeatIntervalSeconds": 0.02}})
            stop = asyncio.Event()
            ready.extend([edge.url, asyncio.get_running_loop(), stop, edge])
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    assert started.wait(5)
    url, loop, stop, edge = ready
    loop.call_soon_threadsafe(loop.call_later, 0.2, edge.backends, stub.port)
    yield url
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    assert not thread.is_alive()


def test_the_client_that_blocks(outside: str) -> None:
    """Cold, then warm, then broken."""
    with openai.OpenAI(base_url=f"{outside}/v1", api_key="k", timeout=20) as client:
        for _ in range(2):
            with client.chat.completions.create(**ASK, stream=True) as stream:
                assert "".join(each.choices[0].delta.content or "" for each in stream if each.choices) == TEXT
            assert client.chat.completions.create(**ASK).choices[0].message.content == TEXT
        with (
            pytest.raises(openai.APIError),
            client.chat.completions.create(**ASK, stream=True, **fault("cut=2")) as stream,
        ):
            for _ in stream:
                pass
