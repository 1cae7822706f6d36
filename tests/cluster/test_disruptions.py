"""Parts of the cluster that stop: KEDA, the API server, the operator. Nothing else runs meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest

from .clients import ask
from .kube import Kube, Object, condition
from .load import Load
from .manifests import namespace, service
from .node import pids_of_pod
from .space import GATEWAY, GATEWAY_NAME, Model, Space, steady
from .timeline import replicas

pytestmark = pytest.mark.disruptive

SYSTEM = "hearth-system"
OPERATOR = "app.kubernetes.io/name=hearth-operator"
KEDA = "keda"
KEDA_OPERATOR = "app=keda-operator"


async def _pod(kube: Kube, namespace: str, labels: str) -> Object:
    """The one pod that is Ready."""
    found = await kube.until_count("Pod", namespace, labels, lambda pods: bool(steady(pods)), f"{labels} is Ready", 120)
    return steady(found)[0]


async def _restart_keda(space: Space) -> None:
    old = await _pod(space.kube, KEDA, KEDA_OPERATOR)
    await space.kube.delete("Pod", old["metadata"]["name"], KEDA, grace=0)
    await space.kube.until_gone("Pod", old["metadata"]["name"], KEDA)
    space.timeline.say("KEDA's operator is gone")


async def test_keda_restarted_while_a_model_sleeps(space: Space) -> None:
    """A request that comes while nobody can scale is held, and served when KEDA is back."""
    model = await space.service(scaling={"activationTimeout": "4m"})
    await _restart_keda(space)
    answer = await ask(model.client(), model.name, "meanwhile", stream=True)
    space.timeline.say(f"answered after {answer.seconds:.1f} s")
    assert answer.ok(5), answer
    await model.asleep()
    assert await space.ledger.settle() == {"meanwhile": 1}


async def test_keda_restarted_while_a_model_is_awake(space: Space) -> None:
    """The model stays awake under traffic, nobody is interrupted, and it falls asleep afterwards."""
    model = await space.service()
    async with model.replicas() as seen, Load(model, clients=3, query={"tokens": 50}) as load:
        await load.answered(6)
        await _restart_keda(space)
        await _pod(space.kube, KEDA, KEDA_OPERATOR)
        # it has looked at the model again
        since = time.time()
        await space.kube.until(
            "ScaledObject",
            model.name,
            space.name,
            lambda each: _time(each["status"].get("lastActiveTime")) >= int(since),
            "KEDA sees the traffic again",
            120,
        )
        await load.answered(6)
        load.stop()
        answers = await load.finished()
        assert all(answer.ok(50) for answer in answers), [each for each in answers if not each.ok(50)]
        await model.asleep(90)
    assert seen.steps() == [0, 1, 0]
    assert await space.ledger.settle() == {answer.tag: 1 for answer in answers}


def _time(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


@pytest.mark.lasting(80)
@pytest.mark.timeout(400)
async def test_api_server_stopped_under_traffic(space: Space, powers: Callable[..., Any]) -> None:
    """Thirty seconds without an API: a warm model serves as if nothing was, and everything works afterwards."""
    model = await space.service(scaling={"max": 2, "target": 3})
    # KEDA gives up its lease without an API and is restarted by the kubelet, after a pause if it was so before
    sleeper = await space.service("sleeper", space.name, scaling={"activationTimeout": "4m"})
    async with Load(model, clients=2, query={"tokens": 50}) as load:
        await load.answered(6)
        await powers("stop-component", "kube-apiserver")
        try:
            gone = time.monotonic()
            space.timeline.say("the API server is stopped")
            while time.monotonic() - gone < 30:
                await load.answered(4)
            assert all(answer.ok(50) for answer in load.answers), [each for each in load.answers if not each.ok(50)]
        finally:
            await powers("start-component", "kube-apiserver")
        space.timeline.say("the API server is started again")
        await load.answered(4)
        cold = await ask(sleeper.client(270), sleeper.name, "cold")
        space.timeline.say(f"a sleeping model answered after {cold.seconds:.1f} s")
        assert cold.ok(5), cold
        load.stop()
        answers = await load.finished()
    assert all(answer.ok(50) for answer in answers), [each for each in answers if not each.ok(50)]
    await asyncio.gather(model.asleep(120), sleeper.asleep(120))


STEPS = (
    ("ServiceAccount", GATEWAY_NAME),
    ("Role", GATEWAY_NAME),
    ("RoleBinding", GATEWAY_NAME),
    ("ConfigMap", GATEWAY_NAME),
    ("Deployment", GATEWAY_NAME),
    ("Service", GATEWAY_NAME),
    ("Service", "model-backend"),
    ("Service", "model"),
    ("Deployment", "model"),
    ("ScaledObject", "model"),
)
"""What the first reconcile of a namespace's first service makes, in order; the ScaledObject once the gateway serves."""
NO_PODS = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "0"}}}


@pytest.mark.timeout(400)
async def test_operator_killed_at_each_step_of_its_first_reconcile(space: Space, on_this_machine: str) -> None:
    """Killed as soon as an object of the list appears, for every object: what is there, the next one finishes.

    And the engine's Deployment has no replicas at any moment, whenever the operator was killed. Each step has a
    namespace of its own, all but the last without room for pods: this is about objects.
    """
    name = await space.runtime()
    places = [*(f"{space.name}-{number}" for number in range(len(STEPS) - 1)), space.name]
    async with contextlib.AsyncExitStack() as stack:
        recorders = []
        for (kind, child), place in zip(STEPS, places, strict=True):
            if place != space.name:
                stack.push_async_callback(space.kube.delete, "Namespace", place)
                await space.kube.apply(namespace(place))
                await space.kube.apply(NO_PODS | {"metadata": {"name": "no-pods", "namespace": place}})
            recorders.append(await stack.enter_async_context(replicas(space.kube, "model", place)))
            operator = await _pod(space.kube, SYSTEM, OPERATOR)
            pids = pids_of_pod(operator["metadata"]["uid"])
            appears = asyncio.create_task(space.kube.until(kind, child, place, lambda _: True, "it appears"))
            await space.kube.apply(service("model", place, name))
            await appears
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            made = [f"{each} {which}" for each, which in STEPS if await space.kube.find(each, which, place)]
            space.timeline.say(f"killed at {kind} {child}; there: {len(made)} of {len(STEPS)}")
            # a new pod, not the same one after a back-off that grows
            await space.kube.delete("Pod", operator["metadata"]["name"], SYSTEM, grace=0)
            await space.kube.until_gone("Pod", operator["metadata"]["name"], SYSTEM)
        for place in places:
            for kind, child in STEPS if place == space.name else STEPS[:-1]:
                await space.kube.until(kind, child, place, lambda _: True, "the next operator makes it", 90)
        model = Model(space, "model")
        await model.ready(90)
        assert [recorder.values for recorder in recorders] == [[(0, 0)]] * len(STEPS)
    answer = await ask(model.client(), model.name, "first")
    assert answer.ok(5), answer


async def test_traffic_does_not_need_the_operator(space: Space) -> None:
    """Without the operator a model wakes, serves and falls asleep; what changed meanwhile is done when it is back."""
    model = await space.service()
    async with _without_operator(space.kube):
        assert (await ask(model.client(), model.name, "meanwhile")).ok(5)
        await model.asleep()
        await space.kube.apply(service("later", space.name, space.name))
    later = Model(space, "later")
    await later.ready(90)
    assert (await ask(later.client(), later.name, "later")).ok(5)


@contextlib.asynccontextmanager
async def _without_operator(kube: Kube) -> AsyncIterator[None]:
    before = (await kube.get("Deployment", "hearth-operator", SYSTEM))["spec"]["replicas"]
    await kube.patch("Deployment", "hearth-operator", SYSTEM, {"spec": {"replicas": 0}})
    await kube.until_count("Pod", SYSTEM, OPERATOR, lambda pods: not pods, "no operator")
    try:
        yield
    finally:
        await kube.patch("Deployment", "hearth-operator", SYSTEM, {"spec": {"replicas": before}})
        await _pod(kube, SYSTEM, OPERATOR)


@pytest.mark.lasting(50)
@pytest.mark.timeout(400)
async def test_keda_absent_at_first_and_added_later(space: Space, powers: Callable[..., Any]) -> None:
    """Without KEDA the status says so, and nothing else fails; with it everything works, without a restart."""
    await powers("keda", "remove")
    try:
        name = await space.runtime()
        await space.kube.apply(service("model", space.name, name))
        model = Model(space, "model")
        said = await model.until_condition("Scaled", "False", says="KEDA")
        space.timeline.say(said["message"])
        await space.kube.until_count("Pod", space.name, GATEWAY, lambda pods: bool(steady(pods)), "a gateway")
        deployment = await space.kube.get("Deployment", "model", space.name)
        assert deployment["spec"]["replicas"] == 0
    finally:
        await powers("keda", "install")
    await model.until(lambda each: condition(each, "Scaled").get("status") != "False", "Scaled is not False", 120)
    await model.ready(120)
    assert (await ask(model.client(), model.name, "now")).ok(5)
    await model.asleep(90)
