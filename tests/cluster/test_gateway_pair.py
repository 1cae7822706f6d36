"""Two replicas of a gateway, one of which is lost."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.clients import Answer, ask
from tests.cluster.kube import PATIENCE
from tests.cluster.namespace import POLL, Model, Namespace
from tests.cluster.node import kill_pod
from tests.support.waiting import until

pytestmark = pytest.mark.runs(how="paired")

PORT = 8080  # of the gateway's pods


async def test_gateway_killed_while_requests_are_held(namespace: Namespace, on_this_machine: str) -> None:
    """Clients of the killed replica see a cut connection; the other replica's requests and the demand survive."""
    model = await namespace.service(
        runtime=await namespace.runtime(device=await namespace.devices(0)), scaling={"activationTimeout": "4m"}
    )
    killed, kept = await namespace.gateway_pods(2)

    def at(pod: dict[str, dict[str, str]], name: str) -> list[asyncio.Task[Answer]]:
        namespace.addresses.pin(model.host, pod["status"]["podIP"])
        clients = [model.client_at(PORT) for _ in range(10)]
        return [
            asyncio.create_task(ask(client, model.name, f"{name}-{number}", stream=number % 2 == 0))
            for number, client in enumerate(clients)
        ]

    async with model.replicas() as replicas:
        lost = at(killed, "lost")
        await _pending(namespace, model, killed, 10)
        safe = at(kept, "safe")
        await _pending(namespace, model, kept, 20)
        await replicas.until(lambda seen: seen[0] == 1, PATIENCE, "one replica is wanted")
        kill_pod(killed["metadata"]["uid"])
        cut = await asyncio.gather(*lost)
        assert not any(task.done() for task in safe), "the clients of the killed one know before any other is served"
        assert all(answer.status == 0 and not answer.text for answer in cut), cut
        await _pending(namespace, model, kept, 10)
        await namespace.devices(1)
        answers = await asyncio.gather(*safe)
        assert all(answer.ok(5) for answer in answers), answers
        assert replicas.steps() == [0, 1], f"the demand survived: {replicas.values}"
    await model.asleep()
    assert await namespace.request_log.settle() == {answer.tag: 1 for answer in answers}


async def _pending(namespace: Namespace, model: Model, pod: dict[str, dict[str, str]], count: int) -> None:
    """Wait until a replica of the gateway counts so much demand."""
    client = namespace.http(30)
    url = f"http://{pod['status']['podIP']}:{PORT}/{model.name}/hearth/queue"

    async def enough() -> bool:
        return bool((await client.get(url)).json()["pending"] >= count)

    await until(enough, f"{url}: the demand is {count}", 60, interval=POLL)
