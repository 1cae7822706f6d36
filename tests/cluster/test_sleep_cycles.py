"""Twenty times asleep, woken by ten clients at once, asleep again: nothing lost, doubled or falsely ended.

A model stays awake for a while after each wake, so four models sleep and wake side by side.
HEARTH_E2E_CYCLES sets the number of cycles.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.cluster.clients import Answer, ask
from tests.cluster.namespace import Model, Namespace

CYCLES = int(os.environ.get("HEARTH_E2E_CYCLES", "20"))
MODELS = 4
CLIENTS = 10


@pytest.mark.timeout(900)
async def test_twenty_sleeps_and_wakes_with_ten_clients_each(namespace: Namespace) -> None:
    runtime = await namespace.runtime(drain=False)
    scaling = {"max": 2, "target": 20, "scaleDownStabilization": "0s"}
    models = [await namespace.service(f"model-{number}", runtime, scaling=scaling) for number in range(MODELS)]
    turns = [len(range(number, CYCLES, MODELS)) for number in range(MODELS)]
    every = await asyncio.gather(*(_cycles(model, count) for model, count in zip(models, turns, strict=True)))
    answers = [answer for each in every for answer in each]
    assert len(answers) == CYCLES * CLIENTS
    assert await namespace.request_log.settle() == {answer.tag: 1 for answer in answers}
    assert [(await model.demand())["pending"] for model in models] == [0] * MODELS


async def _cycles(model: Model, count: int) -> list[Answer]:
    clients = [model.client() for _ in range(CLIENTS)]
    found: list[Answer] = []
    async with model.replicas() as replicas:
        for cycle in range(count):
            answers = await asyncio.gather(
                *(
                    ask(client, model.name, f"{model.name}-{cycle}-{number}", stream=number % 2 == 0)
                    for number, client in enumerate(clients)
                )
            )
            assert all(answer.ok(5) for answer in answers), [each for each in answers if not each.ok(5)]
            await model.asleep()
            slowest = max(answer.seconds for answer in answers)
            model.namespace.timeline.say(
                f"{model.name}: {CLIENTS} answers, the last after {slowest:.2f} s; asleep again"
            )
            found += answers
    assert replicas.steps() == [0, *[1, 0] * count], "every cycle was one wake and one sleep"
    return found
