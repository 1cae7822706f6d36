"""Events of watches that say nothing, or nothing that can be read."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.cache import Cache, Key
from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.kinds import (
    BUDGET,
    DEPLOYMENT,
    INFERENCE_RUNTIME,
    LLM_SERVICE,
    POD,
    SCALED_OBJECT,
    Kind,
)
from hearth.operator.metrics import Metrics
from hearth.operator.watch.event_handlers import EventHandlers
from hearth.operator.work_queue import WorkQueue
from tests.operator.harness import (
    Harness,
)
from tests.support.clock import FakeClock
from tests.support.fake_api import FakeApi

LABELS = {"app.kubernetes.io/managed-by": "hearth", "serving.hearth.dev/llmservice": "m"}


class Watched:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cache = Cache()
        self.queue: WorkQueue[Key]
        self.restart()

    def restart(self) -> None:
        """Start with an empty queue, and all that is known."""
        self.queue = WorkQueue(self.clock)
        keda = KedaAvailability(self.cache, self.queue, self.clock.time)
        self.handlers = EventHandlers(self.cache, self.queue, keda, Metrics())

    def see(self, kind: Kind, what: str | None, version: int = 1, **more: Any) -> bool:
        """Hand over an event, and say whether there is anything to do because of it."""
        metadata = {"name": "m", "namespace": "ns", "uid": "u", "resourceVersion": str(version), "labels": LABELS}
        self.handlers.handle(kind, what, {"apiVersion": "v1", "kind": kind.kind, "metadata": metadata, **more})
        self.clock.advance(10.0)
        return self.queue.depth > 0


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (DEPLOYMENT, {"metadata": {"name": "m", "namespace": "ns", "uid": "u"}, "spec": {"replicas": "many"}}),
        (POD, {"metadata": {"name": "m", "namespace": "ns", "uid": "u"}, "status": {"conditions": "none"}}),
        (SCALED_OBJECT, {"metadata": {"name": "m", "namespace": "ns", "uid": "u"}, "status": {"hpaName": 7}}),
        (LLM_SERVICE, {"metadata": {"name": "m", "labels": []}}),
        (INFERENCE_RUNTIME, {"metadata": None}),
        (BUDGET, {}),
    ],
    ids=lambda value: value.kind if isinstance(value, Kind) else "",
)
@pytest.mark.parametrize("what", ["ADDED", "DELETED", None])
def test_a_malformed_object_is_passed_over_and_named(
    kind: Kind, item: Any, what: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise kopf would log an error, and a resync would end."""
    watched = Watched()
    watched.handlers.handle(kind, what, item)
    if what != "DELETED" or kind in (LLM_SERVICE, INFERENCE_RUNTIME, BUDGET):
        assert f"Ignoring a malformed {kind.kind}" in caplog.text
    assert watched.queue.depth == 0


def test_a_pod_that_changed_where_nobody_reads_is_no_reason_to_reconcile() -> None:
    watched = Watched()
    assert watched.see(POD, "ADDED", 1, status={"phase": "Running"})
    watched.restart()
    assert not watched.see(POD, "MODIFIED", 2, status={"phase": "Running", "podIP": "10.0.0.1"})
    assert watched.see(POD, "MODIFIED", 3, status={"phase": "Failed"})


def test_a_pod_that_was_never_seen_may_be_deleted() -> None:
    assert not Watched().see(POD, "DELETED")


async def test_an_idle_operator_asks_nothing(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.requests.clear()
    harness.handlers.queue_all(0.0)
    await harness.settle()
    assert api.requests == [("get", "LLMService", "m")]


async def test_status_of_a_child_alone_is_no_reason_to_apply(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.requests.clear()
    api.set_status(DEPLOYMENT, "ns", "m", {"observedGeneration": 1})
    await harness.settle()
    assert ("apply", "Deployment", "m") not in api.requests


async def test_that_keda_looked_again_is_no_reason_to_look(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    harness.reconciled.clear()
    for second in range(3):
        api.set_status(SCALED_OBJECT, "ns", "m", {"lastActiveTime": f"2026-01-01T00:00:0{second}Z"})
        await harness.settle()
    assert harness.reconciled == [Key("ns", "m")], "only the first one says something new"


async def test_what_says_nothing_new_is_no_reason_to_look(api: FakeApi, harness: Harness) -> None:
    """Controllers write much into the status of a sleeping model's objects that no sentence is made of."""
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.requests.clear()
    progressing = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    api.set_status(DEPLOYMENT, "ns", "m", {"observedGeneration": 1, "conditions": [progressing]})
    active = {"type": "Active", "status": "False", "reason": "ScalerNotActive"}
    ready = api.wire(SCALED_OBJECT, "ns", "m").get("status", {}).get("conditions", [])
    api.set_status(SCALED_OBJECT, "ns", "m", {"scaleTargetKind": "apps/v1.Deployment", "conditions": [*ready, active]})
    await harness.settle()
    assert api.requests == []
