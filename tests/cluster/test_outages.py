"""Outages of what everything else needs: the API server, KEDA as a whole. Nothing else runs meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.clients import ask
from tests.cluster.kube import condition
from tests.cluster.load import Load
from tests.cluster.manifests import service
from tests.cluster.namespace import GATEWAY, Model, Namespace, steady

pytestmark = pytest.mark.runs(how="alone")


async def test_api_server_stopped_under_traffic(namespace: Namespace, run_devcluster: Callable[..., Any]) -> None:
    """Thirty seconds without an API: a warm model serves as if nothing was, and everything works afterwards."""
    model = await namespace.service(scaling={"max": 2, "target": 3})
    # KEDA gives up its lease without an API and is restarted by the kubelet, after a pause if it was so before
    sleeper = await namespace.service("sleeper", namespace.name, scaling={"activationTimeout": "4m"})
    async with Load(model, clients=2, query={"tokens": 10}) as load:
        await load.answered(6)
        await run_devcluster("stop-component", "kube-apiserver")
        try:
            gone = time.monotonic()
            namespace.timeline.say("the API server is stopped")
            while time.monotonic() - gone < 30:
                await load.answered(4)
            assert all(answer.ok(10) for answer in load.answers), [each for each in load.answers if not each.ok(10)]
        finally:
            await run_devcluster("start-component", "kube-apiserver")
            # These try their old watches again after up to a minute, which says nothing of Hearth. (The first two would have
            # lost their Leases elsewhere, and come back with new watches.)
            for name in ("kube-controller-manager", "kube-scheduler", "kubelet"):
                await run_devcluster("stop-component", name)
                await run_devcluster("start-component", name)
        namespace.timeline.say("the API server is started again")
        await load.answered(4)
        cold = await ask(sleeper.client(270), sleeper.name, "cold")
        namespace.timeline.say(f"a sleeping model answered after {cold.seconds:.1f} s")
        assert cold.ok(5), cold
        load.stop()
        answers = await load.finished()
    assert all(answer.ok(10) for answer in answers), [each for each in answers if not each.ok(10)]
    await asyncio.gather(model.asleep(), sleeper.asleep())


async def test_keda_absent_at_first_and_added_later(namespace: Namespace, run_devcluster: Callable[..., Any]) -> None:
    """Without KEDA the status says so, and nothing else fails; with it everything works, without a restart."""
    await run_devcluster("keda", "remove")
    try:
        name = await namespace.runtime()
        await namespace.kube.apply(service("model", namespace.name, name))
        model = Model(namespace, "model")
        said = await model.until_condition("Scaled", "False", says="KEDA")
        namespace.timeline.say(said["message"])
        await namespace.pods_until(GATEWAY, lambda pods: bool(steady(pods)), "a gateway")
        deployment = await namespace.kube.get("Deployment", "model", namespace.name)
        assert deployment["spec"]["replicas"] == 0
    finally:
        await run_devcluster("keda", "install")
    await model.until(lambda each: condition(each, "Scaled").get("status") != "False", "Scaled is not False")
    await model.ready()
    assert (await ask(model.client(), model.name, "now")).ok(5)
    await model.asleep()
