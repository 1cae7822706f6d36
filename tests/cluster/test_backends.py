"""Engines that are killed."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2

from tests.cluster.clients import ask
from tests.cluster.namespace import POLL, Namespace
from tests.cluster.node import kill_pod
from tests.support.waiting import until


async def test_backend_killed_before_the_first_byte(namespace: Namespace, on_this_machine: str) -> None:
    """The engine is killed while it thinks about its first token: the client sees a normal answer, of the next one."""
    model = await namespace.service(runtime=await namespace.runtime(env={"STUB_PREFILL_DELAY": "5s"}))
    asked = asyncio.create_task(ask(model.client(), model.name, "waits"))
    # not when it is Ready: its probe may say so long after the gateway's
    (pod,) = await namespace.pods_until(
        model.pods_label,
        lambda pods: any("podIP" in pod["status"] for pod in pods),
        "an address",
    )
    await _at_work(namespace, pod["status"]["podIP"], 1)
    kill_pod(pod["metadata"]["uid"])
    answer = await asked
    assert answer.ok(5), answer
    await model.asleep()
    assert await namespace.request_log.settle() == {"waits": 1}


async def test_backend_killed_in_the_middle_of_a_stream(namespace: Namespace, on_this_machine: str) -> None:
    """The client sees an error after the tokens that it had, never an end that looks right; the next request is served."""
    model = await namespace.service()
    started = asyncio.Event()
    asked = asyncio.create_task(
        ask(model.client(), model.name, "cut", stream=True, query={"tokens": 800}, started=started)
    )
    await asyncio.wait_for(started.wait(), 60)
    (pod,) = await model.awake()
    kill_pod(pod["metadata"]["uid"])
    answer = await asked
    assert answer.error is not None, answer
    assert answer.finish is None
    assert answer.text.startswith("Hello")
    after = await ask(model.client(), model.name, "after")
    assert after.ok(5), after


async def _at_work(namespace: Namespace, address: str, count: int) -> None:
    """Wait until an engine works on so many requests."""
    client = namespace.http(30)

    async def working() -> bool:
        with contextlib.suppress(httpx2.ConnectError):  # it starts
            return bool((await client.get(f"http://{address}:8000/control")).json()["open"] >= count)
        return False

    await until(working, f"{count} requests at {address}", 60, interval=POLL)
