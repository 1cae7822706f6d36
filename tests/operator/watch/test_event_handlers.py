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
from tests.support.clock import FakeClock

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
    """kopf would log an error, and a resync would end."""
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
