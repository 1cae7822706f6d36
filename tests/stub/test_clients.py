"""The openai client understands every API of the stub."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest

from tests.stub.support import Stub


@pytest.fixture
async def client(shared: Stub) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=shared.url + "/v1", api_key="none", max_retries=0) as made:
        yield made


async def test_chat(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hi"}], extra_query={"tokens": 3}
    )
    assert answer.choices[0].message.content == "Hello 1 2"
    stream = await client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
        extra_query={"tokens": 3},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello 1 2"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


async def test_completions_and_models(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="tiny", prompt="hi", max_tokens=2)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("Hello 1", "length")
    assert [model.id async for model in client.models.list()] == ["tiny"]


async def test_responses(client: openai.AsyncOpenAI) -> None:
    answer = await client.responses.create(model="tiny", input="hi", extra_query={"tokens": 2})
    assert (answer.output_text, answer.status) == ("Hello 1", "completed")
    stream = await client.responses.create(model="tiny", input="hi", stream=True, extra_query={"tokens": 2})
    seen = [event async for event in stream]
    assert [event.type for event in seen] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in seen] == list(range(10))
    assert seen[-1].response.output_text == "Hello 1"


async def test_errors(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await client.completions.create(model="nope", prompt="hi")
    stream = await client.completions.create(
        model="tiny", prompt="hi", stream=True, extra_headers={"X-Stub-Fault": "error"}
    )
    texts = []
    with pytest.raises(openai.APIError, match="Internal server error"):  # noqa: PT012
        async for chunk in stream:
            texts.append(chunk.choices[0].text)
    assert texts == ["Hello"]


async def test_embeddings(start: object) -> None:
    stub = start("--task=embed")  # type: ignore[operator]
    async with openai.AsyncOpenAI(base_url=stub.url + "/v1", api_key="none") as client:
        answer = await client.embeddings.create(model="tiny", input=["a", "b"])
    assert [item.embedding.index(1.0) for item in answer.data] == [0, 1]


async def test_messages(client: openai.AsyncOpenAI) -> None:
    body = {"model": "tiny", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}
    answer = await client.post("/messages", body=body, cast_to=dict[str, object])
    assert (answer["content"], answer["stop_reason"]) == ([{"type": "text", "text": "Hello 1"}], "max_tokens")
