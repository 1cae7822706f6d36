"""Cold starts, as clients see them."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

from tests.cluster.clients import ask, raw_stream
from tests.cluster.kube import condition
from tests.cluster.load import Load
from tests.cluster.manifests import runtime
from tests.cluster.namespace import Model, Namespace

LONG = {"STUB_STARTUP_DELAY": "4s"}


async def test_keepalive_holds_streams_and_others(namespace: Namespace) -> None:
    """A stream has its headers and a comment at once and heartbeats until the first token; others wait silently."""
    model = await namespace.service(runtime=await namespace.runtime(env=LONG))
    unary = asyncio.create_task(ask(model.client(), model.name, "unary"))
    comments: list[str] = []
    async with raw_stream(namespace.http(), f"http://{model.host}", model.name, tag="stream") as (response, lines):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-hearth-cold-start"] == "true"
        async for line in lines:
            if line.startswith("data: "):
                break
            comments.append(line)
        rest = [line async for line in lines]
    assert len([line for line in comments if line.startswith(": ")]) >= 4, comments
    assert all(line.startswith(":") or not line for line in comments)
    assert rest[-1] == "" or rest[-1] == "data: [DONE]"
    assert "data: [DONE]" in rest
    answer = await unary
    assert answer.ok(5), answer
    assert answer.headers["x-hearth-cold-start"] == "true"
    assert answer.headers["server-timing"].startswith("hearth-wait;dur=")
    await model.asleep()
    assert await namespace.request_log.settle() == {"unary": 1, "stream": 1}


async def test_reject_answers_503_and_wakes(namespace: Namespace) -> None:
    """With `mode: reject` nothing is held: 503 with Retry-After, and a client that tries again is served."""
    model = await namespace.service(mode="reject", runtime=await namespace.runtime(env={"STUB_STARTUP_DELAY": "1s"}))
    refused = await ask(model.client(), model.name, "refused")
    assert (refused.status, refused.reason) == (503, "cold_start")
    after = int(refused.error.response.headers["retry-after"])  # type: ignore[union-attr]
    assert 1 <= after <= 55
    served = await ask(model.client(retries=8), model.name, "served")
    assert served.ok(5), served
    await model.asleep()
    assert await namespace.request_log.settle() == {"served": 1}


async def test_burst_over_the_bound_is_answered_exactly(namespace: Namespace) -> None:
    """Forty at once where ten may be held: ten are served, thirty are refused with Retry-After, none is lost.

    The bound is that of one gateway, so all go to the same one.
    """
    model = await namespace.service(
        runtime=await namespace.runtime(device=await namespace.devices(0)), endpoint={"limits": {"maxHeld": 10}}
    )
    pod = (await namespace.gateway_pods())[0]
    namespace.addresses.pin(model.host, f"{pod['status']['podIP']}")
    asked = [
        asyncio.create_task(ask(model.client_at(8080), model.name, f"burst-{number}", stream=number % 2 == 0))
        for number in range(40)
    ]
    for refused in itertools.islice(asyncio.as_completed(asked), 30):
        assert (await refused).status == 429
    await namespace.devices(1)
    answers = await asyncio.gather(*asked)
    assert Counter(answer.status for answer in answers) == {200: 10, 429: 30}
    assert all(answer.ok(5) for answer in answers if answer.status == 200)
    assert {answer.reason for answer in answers if answer.status == 429} == {"queue_full"}
    await model.asleep()
    assert await namespace.request_log.settle() == dict.fromkeys(
        [each.tag for each in answers if each.status == 200], 1
    )


async def test_model_that_never_becomes_ready(namespace: Namespace) -> None:
    """After the activation timeout held clients get an error in the form of their API; once repaired, it serves.

    The repair is a change of the runtime, which rolls its services.
    """
    name = await namespace.runtime(env={"STUB_STARTUP_DELAY": "1h"})
    model = await namespace.service(runtime=name, scaling={"activationTimeout": "8s"})
    stream, unary = await asyncio.gather(
        ask(model.client(), model.name, "stream", stream=True), ask(model.client(), model.name, "unary")
    )
    assert "did not become ready within 8 s" in str(stream.error), stream
    assert not stream.text
    assert (unary.status, unary.reason) == (503, "activation_timeout")
    await namespace.kube.apply(runtime(name))
    after = await _answered(model)
    assert after, "it serves after the repair"
    await model.asleep()
    served = await namespace.request_log.settle()
    assert served.keys() & {"stream", "unary"} == set(), "a request that was answered with an error was not served"


async def _answered(model: Model) -> bool:
    """Ask until it answers: the repaired pod may come after one more activation timeout."""
    client = model.client()
    for attempt in range(12):
        if (await ask(client, model.name, f"after-{attempt}")).ok(5):
            return True
    return False


async def test_image_that_does_not_exist(namespace: Namespace) -> None:
    """Status and the waiting client both say that the image cannot be pulled; the status says which and why."""
    image = "registry.invalid/hearth/nothing:1"
    model = await namespace.service(runtime=await namespace.runtime(image=image))
    async with raw_stream(namespace.http(), f"http://{model.host}", model.name) as (_, lines):
        async for line in lines:
            if line.startswith(": ") and "image cannot be pulled" in line:
                break
            assert line.startswith(":") or not line, line
    found = await model.until(
        lambda each: image in condition(each, "Ready").get("message", ""), "Ready names the image"
    )
    assert condition(found, "Ready")["status"] == "False"


async def test_devices_limit_the_replicas(namespace: Namespace) -> None:
    """More replicas are wanted than there are devices: those that run serve everything, and the status says why."""
    resource = await namespace.devices(1)
    name = await namespace.runtime(device=resource)
    model = await namespace.service("first", name, scaling={"max": 3, "target": 1})
    async with Load(model, clients=4, query={"tokens": 60}) as load:
        await namespace.pods_until(
            model.pods_label,
            lambda pods: any(condition(pod, "PodScheduled").get("reason") == "Unschedulable" for pod in pods),
            "a pod without a device",
        )
        found = await model.until(
            lambda each: any(resource in seen.get("message", "") for seen in each["status"].get("conditions", [])),
            "a condition names the device",
        )
        assert condition(found, "Ready")["status"] == "True", "one replica serves"
        # and a model that gets nothing at all, because the other holds the device
        other = await namespace.service("second", name)
        async with asyncio.TaskGroup() as group:
            comment = group.create_task(
                _first_comment_with(namespace, other, "all accelerators of the cluster are in use")
            )
            group.create_task(other.until_condition("Ready", "False", says=resource))
        assert comment.result(), "the waiting client learns what is missing"
        load.stop()
        answers = await load.finished()
    assert all(answer.ok(60) for answer in answers), [each for each in answers if not each.ok(60)]


async def _first_comment_with(namespace: Namespace, model: Model, text: str) -> str:
    async with raw_stream(namespace.http(), f"http://{model.host}", model.name) as (_, lines):
        async for line in lines:
            if line.startswith(": ") and text in line:
                return line
    return ""
