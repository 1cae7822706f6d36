"""Restarts of Hearth's operator, and times without it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest

from tests.cluster import manifests
from tests.cluster.clients import ask
from tests.cluster.kube import Kube
from tests.cluster.manifests import no_pods, service
from tests.cluster.namespace import GATEWAY_NAME, Model, Namespace, ready_pod
from tests.cluster.node import pids_of_pod
from tests.cluster.timeline import replicas

pytestmark = pytest.mark.runs(how="apart")

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


async def test_operator_killed_at_each_step_of_its_first_reconcile(namespace: Namespace, on_this_machine: str) -> None:
    """Killed as soon as an object of the list appears, for every object: what is there, the next one finishes.

    And the engine's Deployment has no replicas at any moment, whenever the operator was killed. Each step has a
    namespace of its own, all but the last without room for pods: this is about objects.
    """
    name = await namespace.runtime()
    places = [*(f"{namespace.name}-{number}" for number in range(len(STEPS) - 1)), namespace.name]
    async with contextlib.AsyncExitStack() as stack:
        recorders = []
        for (kind, child), place in zip(STEPS, places, strict=True):
            if place != namespace.name:
                stack.push_async_callback(namespace.kube.delete, "Namespace", place)
                await namespace.kube.apply(manifests.namespace(place))
                await namespace.kube.apply(no_pods(place))
            recorders.append(await stack.enter_async_context(replicas(namespace.kube, "model", place)))
            operator = await ready_pod(namespace.kube, SYSTEM, OPERATOR)
            pids = pids_of_pod(operator["metadata"]["uid"])
            appears = asyncio.create_task(namespace.kube.until(kind, child, place, lambda _: True, "it appears"))
            await namespace.kube.apply(service("model", place, name))
            await appears
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            made = [f"{each} {which}" for each, which in STEPS if await namespace.kube.find(each, which, place)]
            namespace.timeline.say(f"killed at {kind} {child}; there: {len(made)} of {len(STEPS)}")
            # a new pod, not the same one after a back-off that grows
            await namespace.kube.delete("Pod", operator["metadata"]["name"], SYSTEM, grace=0)
            await namespace.kube.until_gone("Pod", operator["metadata"]["name"], SYSTEM)
        for place in places:
            for kind, child in STEPS if place == namespace.name else STEPS[:-1]:
                await namespace.kube.until(kind, child, place, lambda _: True, "the next operator makes it")
        model = Model(namespace, "model")
        await model.ready()
        assert [recorder.values for recorder in recorders] == [[(0, 0)]] * len(STEPS)
    answer = await ask(model.client(), model.name, "first")
    assert answer.ok(5), answer


async def test_traffic_does_not_need_the_operator(namespace: Namespace) -> None:
    """Without the operator a model wakes, serves and falls asleep; what changed meanwhile is done when it is back."""
    model = await namespace.service()
    async with _without_operator(namespace.kube):
        assert (await ask(model.client(), model.name, "meanwhile")).ok(5)
        await model.asleep()
        await namespace.kube.apply(service("later", namespace.name, namespace.name))
    later = Model(namespace, "later")
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
