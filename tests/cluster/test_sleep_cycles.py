"""Twenty times asleep, woken by ten clients at once, asleep again: nothing lost, doubled or falsely ended.

HEARTH_E2E_CYCLES sets the number of cycles.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from .clients import ask
from .space import Space

CYCLES = int(os.environ.get("HEARTH_E2E_CYCLES", "20"))
CLIENTS = 10


@pytest.mark.timeout(900)
async def test_twenty_sleeps_and_wakes_with_ten_clients_each(space: Space) -> None:
    model = await space.service(
        runtime=await space.runtime(drain=False), scaling={"max": 2, "target": 20, "scaleDownStabilization": "0s"}
    )
    clients = [model.client() for _ in range(CLIENTS)]
    tags: list[str] = []
    async with model.replicas() as replicas:
        for cycle in range(CYCLES):
            answers = await asyncio.gather(
                *(
                    ask(client, model.name, f"{cycle}-{number}", stream=number % 2 == 0)
                    for number, client in enumerate(clients)
                )
            )
            assert all(answer.ok(5) for answer in answers), [each for each in answers if not each.ok(5)]
            tags += [answer.tag for answer in answers]
            await model.asleep()
            slowest = max(answer.seconds for answer in answers)
            space.timeline.say(f"cycle {cycle}: {CLIENTS} answers, the last after {slowest:.2f} s; asleep again")
    assert replicas.steps() == [0, *[1, 0] * CYCLES], "every cycle was one wake and one sleep"
    assert await space.ledger.settle() == dict.fromkeys(tags, 1)
    assert (await model.demand())["pending"] == 0
