"""Two replicas of a gateway, one of which is lost."""

from __future__ import annotations

import asyncio

import pytest

from .clients import Answer, ask
from .kube import PATIENCE
from .node import kill_pod
from .space import Model, Space

pytestmark = pytest.mark.pair

PORT = 8080  # of the gateway's pods


@pytest.mark.lasting(37)
async def test_gateway_killed_while_requests_are_held(space: Space, on_this_machine: str) -> None:
    """Clients of the killed replica see a cut connection; the other replica's requests and the demand survive."""
    model = await space.service(
        runtime=await space.runtime(device=await space.devices(0)), scaling={"activationTimeout": "4m"}
    )
    killed, kept = await space.gateway_pods(2)

    def at(pod: dict[str, dict[str, str]], name: str) -> list[asyncio.Task[Answer]]:
        space.addresses.pin(model.host, pod["status"]["podIP"])
        clients = [model.client_at(PORT) for _ in range(10)]
        return [
            asyncio.create_task(ask(client, model.name, f"{name}-{number}", stream=number % 2 == 0))
            for number, client in enumerate(clients)
        ]

    async with model.replicas() as replicas:
        lost = at(killed, "lost")
        await _pending(space, model, killed, 10)
        safe = at(kept, "safe")
        await _pending(space, model, kept, 20)
        await replicas.until(lambda seen: seen[0] == 1, PATIENCE, "one replica is wanted")
        kill_pod(killed["metadata"]["uid"])
        cut = await asyncio.gather(*lost)
        assert not any(task.done() for task in safe), "the clients of the killed one know before anybody is served"
        assert all(answer.status == 0 and not answer.text for answer in cut), cut
        await _pending(space, model, kept, 10)
        await space.devices(1)
        answers = await asyncio.gather(*safe)
        assert all(answer.ok(5) for answer in answers), answers
        assert replicas.steps() == [0, 1], f"the demand survived: {replicas.values}"
    await model.asleep()
    assert await space.ledger.settle() == {answer.tag: 1 for answer in answers}


async def _pending(space: Space, model: Model, pod: dict[str, dict[str, str]], count: int) -> None:
    """Wait until a replica of the gateway counts so much demand."""
    client = space.http(30)
    url = f"http://{pod['status']['podIP']}:{PORT}/{model.name}/hearth/queue"
    async with asyncio.timeout(60):
        while (await client.get(url)).json()["pending"] < count:
            await asyncio.sleep(0.05)
