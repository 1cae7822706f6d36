"""Restarts of KEDA's operator."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.cluster.clients import ask
from tests.cluster.load import Load
from tests.cluster.namespace import Namespace, ready_pod

pytestmark = pytest.mark.runs(how="apart")

NAMESPACE = "keda"
OPERATOR = "app=keda-operator"


async def _restart_keda(namespace: Namespace) -> None:
    old = await ready_pod(namespace.kube, NAMESPACE, OPERATOR)
    await namespace.kube.delete("Pod", old["metadata"]["name"], NAMESPACE, grace=0)
    await namespace.kube.until_gone("Pod", old["metadata"]["name"], NAMESPACE)
    namespace.timeline.say("KEDA's operator is gone")


async def test_keda_restarted_while_a_model_sleeps(namespace: Namespace) -> None:
    """A request that comes while nothing can scale is held, and served when KEDA is back."""
    model = await namespace.service(scaling={"activationTimeout": "4m"})
    await _restart_keda(namespace)
    answer = await ask(model.client(), model.name, "meanwhile", stream=True)
    namespace.timeline.say(f"answered after {answer.seconds:.1f} s")
    assert answer.ok(5), answer
    await model.asleep()
    assert await namespace.request_log.settle() == {"meanwhile": 1}


async def test_keda_restarted_while_a_model_is_awake(namespace: Namespace) -> None:
    """The model stays awake under traffic, no request is interrupted, and it falls asleep afterwards."""
    model = await namespace.service()
    async with model.replicas() as seen, Load(model, clients=3, query={"tokens": 10}) as load:
        await load.answered(6)
        await _restart_keda(namespace)
        await ready_pod(namespace.kube, NAMESPACE, OPERATOR)
        # it has looked at the model again
        since = time.time()
        await namespace.kube.until(
            "ScaledObject",
            model.name,
            namespace.name,
            lambda each: _time(each["status"].get("lastActiveTime")) >= int(since),
            "KEDA sees the traffic again",
            240,
        )
        await load.answered(6)
        load.stop()
        answers = await load.finished()
        assert all(answer.ok(10) for answer in answers), [each for each in answers if not each.ok(10)]
        await model.asleep()
    assert seen.steps() == [0, 1, 0]
    assert await namespace.request_log.settle() == {answer.tag: 1 for answer in answers}


def _time(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
