"""The gateway of a namespace: rolled, killed, shared by models that come and go, and taken away with its namespace."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from tests.cluster.clients import ask
from tests.cluster.kube import KINDS, PATIENCE, Object
from tests.cluster.load import Load
from tests.cluster.manifests import service
from tests.cluster.namespace import GATEWAY, GATEWAY_NAME, Model, Namespace, steady
from tests.cluster.node import kill_pod, pids_of_pod
from tests.support.waiting import until

HELD = 50


async def test_gateway_rolled_while_requests_are_held(namespace: Namespace) -> None:
    """The old pods answer all fifty before they go; the demand that they hold is not forgotten for a moment."""
    model = await namespace.service(
        runtime=await namespace.runtime(device=await namespace.devices(0)), scaling={"activationTimeout": "4m"}
    )
    before = {pod["metadata"]["name"] for pod in await namespace.gateway_pods()}
    async with model.replicas() as replicas:
        asked = [
            asyncio.create_task(ask(model.client(240), model.name, f"held-{number}", stream=number % 2 == 0))
            for number in range(HELD)
        ]
        await model.held(HELD)
        change = {"spec": {"template": {"metadata": {"annotations": {"hearth.dev/rolled": "yes"}}}}}
        await namespace.kube.patch("Deployment", GATEWAY_NAME, namespace.name, change)
        await namespace.pods_until(
            GATEWAY,
            lambda pods: (
                all("deletionTimestamp" in pod["metadata"] for pod in pods if pod["metadata"]["name"] in before)
                and bool(steady(pods))
            ),
            "every old pod is being deleted",
        )
        assert not any(task.done() for task in asked), "they are still held"
        namespace.timeline.say("new pods serve, the old ones are terminating and hold fifty requests")
        await namespace.devices(1)
        answers = await asyncio.gather(*asked)
        namespace.timeline.say(f"the last answer came after {max(answer.seconds for answer in answers):.1f} s")
        assert all(answer.ok(5) for answer in answers), [each for each in answers if not each.ok(5)]
        await namespace.pods_until(
            GATEWAY,
            lambda pods: not before & {pod["metadata"]["name"] for pod in pods},
            "the old pods go when their last request has ended",
        )
        namespace.timeline.say("the old pods are gone")
        await model.asleep()
        namespace.timeline.say("asleep")
    assert replicas.steps() == [0, 1, 0], f"woken once, then asleep: {replicas.values}"
    assert await namespace.request_log.settle() == {answer.tag: 1 for answer in answers}


async def test_two_vendors_on_one_gateway(namespace: Namespace) -> None:
    """Models of different vendors and engines side by side: each request reaches the model that its host names."""
    one = await namespace.runtime("one", device=await namespace.devices(4))
    two = await namespace.runtime("two", vendor="acme", adapter="generic", device=f"hearth.dev/{namespace.name}")
    first, second = await asyncio.gather(
        namespace.service("first", one, ready=False), namespace.service("second", two, ready=False)
    )
    await asyncio.gather(first.ready(), second.ready())
    answers = await asyncio.gather(
        *(ask(model.client(), model.name, f"{model.name}-{turn}") for model in (first, second) for turn in range(5)),
        # the address of one model, the name of another: its engine refuses, and the other's is not asked
        ask(first.client(), second.name, "wrong"),
    )
    *right, wrong = answers
    assert all(answer.ok(5) for answer in right), right
    assert wrong.status == 404
    assert not any(
        "tag=wrong" in line and '" 200' in line for lines in namespace.request_log.lines.values() for line in lines
    )
    shared = Model(namespace, GATEWAY_NAME)
    assert (await ask(shared.client(), second.name, "by-name")).ok(5), "one address for all, chosen by `model`"
    deployments = await namespace.kube.list("Deployment", namespace.name, GATEWAY)
    assert [each["metadata"]["name"] for each in deployments] == [GATEWAY_NAME]
    await asyncio.gather(first.asleep(), second.asleep())
    expected = {answer.tag: 1 for answer in right} | {"by-name": 1}
    assert await namespace.request_log.settle() == expected
    by_engine = {
        name: "".join(
            line for key, lines in namespace.request_log.lines.items() if key.startswith(f"{name}-") for line in lines
        )
        for name in ("first", "second")
    }
    assert "tag=second" not in by_engine["first"]
    assert "tag=first" not in by_engine["second"]


async def test_models_come_and_go_while_others_stream(namespace: Namespace) -> None:
    """No stream is interrupted; a new model has an address that answers within a second of its object."""
    name = await namespace.runtime()
    stays = await namespace.service("stays", name)
    goes = await namespace.service("goes", name)
    pods = {pod["metadata"]["name"] for pod in await namespace.gateway_pods()}
    started = [asyncio.Event() for _ in range(6)]
    streams = [
        asyncio.create_task(
            ask(stays.client(), stays.name, f"stream-{number}", stream=True, query={"tokens": 300}, started=event)
        )
        for number, event in enumerate(started)
    ]
    await asyncio.gather(*(event.wait() for event in started))
    begin = time.monotonic()
    await namespace.kube.apply(service("comes", namespace.name, name))
    comes = Model(namespace, "comes")
    await comes.reachable()
    namespace.timeline.say(f"a new model answered {time.monotonic() - begin:.2f} s after its object")
    await namespace.kube.delete("LLMService", goes.name, namespace.name)
    for kind in ("Deployment", "Service", "ScaledObject"):
        await namespace.kube.until_gone(kind, goes.name, namespace.name)
    assert (await ask(comes.client(), comes.name, "new")).ok(5)
    gone = await ask(Model(namespace, GATEWAY_NAME).client(), goes.name, "gone")
    assert (gone.status, gone.reason) == (404, "model_not_found")
    assert not any(task.done() for task in streams), "they were under way all the time"
    answers = await asyncio.gather(*streams)
    assert all(answer.ok(300) for answer in answers), [each for each in answers if not each.ok(300)]
    assert {pod["metadata"]["name"] for pod in await namespace.gateway_pods()} == pods, (
        "no pod of the gateway was replaced"
    )


async def test_gateway_terminated_while_it_starts(namespace: Namespace, on_this_machine: str) -> None:
    """It ends at once, though Python has no handler yet, and not after the time that it has for what it holds."""
    model = await namespace.service(ready=False)
    (pod, *_) = await namespace.pods_until(GATEWAY, lambda pods: bool(pods), "a gateway's pod")
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    # nothing reports it so early: no watch, no log
    await until(lambda: pids_of_pod(uid, "hearth-gateway"), "the gateway's process", PATIENCE, interval=0.002)
    kill_pod(uid, signal.SIGTERM, "hearth-gateway")

    def ended(found: Object) -> bool:
        return any(each["restartCount"] for each in found["status"].get("containerStatuses", ()))

    await namespace.kube.until("Pod", name, namespace.name, ended, "its container was started again", 60)
    await model.ready()


@pytest.mark.runs(how="paired")  # else there is no budget to remove
async def test_deleting_the_last_model_removes_the_gateway(namespace: Namespace) -> None:
    name = await namespace.runtime()
    first, second = await namespace.service("first", name), await namespace.service("second", name)
    await namespace.kube.delete("LLMService", first.name, namespace.name)
    await namespace.kube.until_gone("Service", first.name, namespace.name)
    assert await namespace.kube.find("Deployment", GATEWAY_NAME, namespace.name), "the other still needs it"
    await namespace.kube.delete("LLMService", second.name, namespace.name)
    for kind in ("Deployment", "Service", "ConfigMap", "ServiceAccount", "Role", "RoleBinding", "PodDisruptionBudget"):
        await namespace.kube.until_gone(kind, GATEWAY_NAME, namespace.name)
    await namespace.pods_until(GATEWAY, lambda pods: not pods, "no pod of the gateway")


async def test_namespace_deleted_while_a_model_serves(namespace: Namespace) -> None:
    """A namespace with everything in it awake goes away whole: nothing has a finalizer that waits for Hearth."""
    model = await namespace.service(scaling={"drainTimeout": "3s"})
    async with Load(model, clients=4, query={"tokens": 10}) as load:
        await load.answered(8)
        await namespace.kube.delete("Namespace", namespace.name)
        load.stop()
        begin = time.monotonic()
        # Kubernetes looks for what is left after 5 s, and if there is something, minutes later
        await namespace.kube.until_gone("Namespace", namespace.name, seconds=500)
        namespace.timeline.say(f"gone after {time.monotonic() - begin:.1f} s")
    assert not [each for kind in KINDS if KINDS[kind][2] for each in await namespace.kube.list(kind, namespace.name)]


async def test_namespace_deleted_while_requests_are_held(namespace: Namespace) -> None:
    """A held request fails at once with the reason, and the gateway stops: no backend will ever come."""
    model = await namespace.service(
        runtime=await namespace.runtime(device=await namespace.devices(0)), scaling={"activationTimeout": "4m"}
    )
    asked = [
        asyncio.create_task(ask(model.client(240), model.name, f"held-{number}", stream=number % 2 == 0))
        for number in range(6)
    ]
    await model.held(len(asked))
    await namespace.kube.delete("Namespace", namespace.name)
    begin = time.monotonic()
    answers = await asyncio.gather(*asked)
    namespace.timeline.say(f"every request was answered after {time.monotonic() - begin:.1f} s")
    assert all("was removed while the request waited" in str(answer.error) for answer in answers), answers
    assert {answer.status for answer in answers} <= {404, 0}, "a stream has had its 200"
    await namespace.kube.until_gone("Namespace", namespace.name, seconds=500)
    namespace.timeline.say(f"gone after {time.monotonic() - begin:.1f} s")
