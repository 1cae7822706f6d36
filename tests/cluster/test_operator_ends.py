"""Hearth's operator is killed, or is away for a while."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest

from .clients import ask
from .kube import Kube
from .manifests import namespace, no_pods, service
from .node import pids_of_pod
from .space import GATEWAY_NAME, Model, Space, ready_pod
from .timeline import replicas

pytestmark = pytest.mark.disruptive

SYSTEM = "hearth-system"
OPERATOR = "app.kubernetes.io/name=hearth-operator"

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
                await space.kube.apply(no_pods(place))
            recorders.append(await stack.enter_async_context(replicas(space.kube, "model", place)))
            operator = await ready_pod(space.kube, SYSTEM, OPERATOR)
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
                await space.kube.until(kind, child, place, lambda _: True, "the next operator makes it")
        model = Model(space, "model")
        await model.ready()
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
    await later.ready()
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
        await ready_pod(kube, SYSTEM, OPERATOR)
