"""From none to one, to many, and back."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.clients import Answer, ask
from tests.cluster.kube import condition
from tests.cluster.load import Load
from tests.cluster.namespace import Namespace


@pytest.mark.parametrize("scaler", ["push", "metrics-api"])
async def test_zero_to_one_to_many_to_zero(namespace: Namespace, scaler: str) -> None:
    """Both ways for KEDA to learn of demand lead through the whole loop, and every request is served once."""
    model = await namespace.service(scaling={"max": 3, "target": 4, "scaler": scaler})
    async with model.replicas() as replicas:
        first = await ask(model.client(), model.name, "first", stream=True)
        assert first.ok(5), first
        assert first.headers.get("x-hearth-cold-start") == "true"
        async with Load(model, clients=12, query={"tokens": 20}) as load:
            await replicas.until(lambda seen: seen == (3, 3), 240, "three replicas")
            load.stop()
            answers = await load.finished()
        await replicas.until(lambda seen: seen[0] == 0, 240, "no replicas")
    assert replicas.values[0] == (0, 0), "it slept before the first request"
    assert all(answer.ok(20) for answer in answers), [each for each in answers if not each.ok(20)]
    await model.asleep()
    assert await namespace.request_log.settle() == dict.fromkeys([first.tag, *(each.tag for each in answers)], 1)


async def test_applying_a_sleeping_model_starts_no_pod(namespace: Namespace) -> None:
    """Not even for a moment: accelerators are taken from others."""
    seen: list[str] = []

    async def look() -> None:
        async for change, pod in namespace.kube.watch("Pod", namespace.name, labels="serving.hearth.dev/llmservice"):
            if change == "ADDED":
                seen.append(pod["metadata"]["name"])

    watching = asyncio.create_task(look())
    model = await namespace.service()
    async with model.replicas() as replicas:
        # KEDA has looked at it once, at the latest when it says so
        await namespace.kube.until(
            "ScaledObject",
            model.name,
            namespace.name,
            lambda each: condition(each, "Ready").get("status") == "True",
            "Ready",
        )
        await namespace.kube.patch("LLMService", model.name, namespace.name, {"spec": {"scaling": {"target": 7}}})
        await namespace.kube.until(
            "ScaledObject",
            model.name,
            namespace.name,
            lambda each: each["spec"]["triggers"][0]["metadata"]["targetValue"] == "7",
            "the edit arrives",
        )
        assert replicas.values == [(0, 0)]
    watching.cancel()
    await asyncio.wait([watching])
    assert not seen


async def test_requests_before_and_after_a_sleep_are_the_same_to_the_client(namespace: Namespace) -> None:
    """A client with one connection that it keeps: cold, warm, asleep, cold again."""
    model = await namespace.service()
    client = model.client()
    answers: list[Answer] = []
    for turn in range(2):
        for request in range(3):
            answers.append(await ask(client, model.name, f"{turn}-{request}", stream=request == 1))
        await model.asleep()
    assert all(answer.ok(5) for answer in answers), answers
    assert [answer.headers.get("x-hearth-cold-start") for answer in answers] == ["true", None, None] * 2
    assert await namespace.request_log.settle() == dict.fromkeys([answer.tag for answer in answers], 1)
