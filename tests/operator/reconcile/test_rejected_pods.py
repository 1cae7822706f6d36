"""Pods that a node refused: told, and deleted once they explain nothing any more."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.kubernetes.kinds import DEPLOYMENT, EVENT, POD
from tests.operator.harness import Harness
from tests.support.fake_api import FakeApi

FULL = "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000, used: 2000, capacity: 4000"
REJECTED = {"phase": "Failed", "reason": "OutOfcpu", "message": FULL}
LABELS = {"app.kubernetes.io/managed-by": "hearth", "serving.hearth.dev/llmservice": "m"}
RUNNING = {
    "phase": "Running",
    "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
}


@pytest.fixture(autouse=True)
async def awake(api: FakeApi, harness: Harness) -> None:
    """One replica is desired."""
    harness.service(scaling={"min": 1})
    await harness.settle()
    harness.gateway_up()
    await harness.settle()


def replica(api: FakeApi, name: str, status: dict[str, Any], owner: str = "m-5d4f", kind: str = "ReplicaSet") -> None:
    owners = [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "rs", "controller": True}]
    metadata = {"name": name, "namespace": "ns", "labels": LABELS, "ownerReferences": owners}
    api.put(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "node-1"}})
    api.set_status(POD, "ns", name, status)


def events(api: FakeApi) -> dict[str, str]:
    found = (stored.wire() for (kind, _, _), stored in api.stored.items() if kind is EVENT)
    return {event["reason"]: event["message"] for event in found}


async def test_a_rejected_replica_is_told_in_the_condition_and_in_an_event(api: FakeApi, harness: Harness) -> None:
    replica(api, "m-5d4f-a", REJECTED)
    await harness.settle()
    condition = harness.condition("Ready")
    assert (condition["status"], condition["reason"]) == ("False", "OutOfcpu")
    assert "OutOfcpu: Node didn't have enough resource: cpu" in condition["message"]
    assert "a node rejected the pod of the engine" in events(api)["OutOfcpu"]
    assert api.names(POD) == ["m-5d4f-a"], "it is why there is no replica"


async def test_it_is_deleted_once_another_one_is_ready(api: FakeApi, harness: Harness) -> None:
    replica(api, "m-5d4f-a", REJECTED)
    await harness.settle()
    replica(api, "m-5d4f-b", RUNNING)
    await harness.settle()
    assert api.names(POD) == ["m-5d4f-b"]
    assert events(api)["RejectedPodDeleted"] == "Deleted a pod of the engine that node-1 rejected: OutOfcpu"
    assert harness.condition("Ready")["status"] == "True"


async def test_a_node_that_rejects_every_pod_does_not_pile_them_up(api: FakeApi, harness: Harness) -> None:
    for letter in "abcdefgh":
        replica(api, f"m-5d4f-{letter}", REJECTED)
        await harness.settle(1.0)
    assert api.names(POD) == ["m-5d4f-g", "m-5d4f-h"]
    assert harness.condition("Ready")["reason"] == "OutOfcpu"


@pytest.mark.parametrize(
    ("status", "owner", "kind"),
    [
        ({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}, "m-5d4f", None),
        ({"phase": "Failed"}, "m-5d4f", None),
        (REJECTED, "n-5d4f", None),
        (REJECTED, "m-5d4f", "Job"),
    ],
    ids=["evicted", "failed", "of another Deployment", "of a Job"],
)
async def test_no_other_pod_is_ever_deleted(
    api: FakeApi, harness: Harness, status: dict[str, Any], owner: str, kind: str | None
) -> None:
    replica(api, "other", status, owner, kind or "ReplicaSet")
    replica(api, "m-5d4f-b", RUNNING)
    await harness.settle()
    assert api.names(POD) == ["m-5d4f-b", "other"]


async def test_nothing_is_deleted_for_a_deployment_of_somebody_else(api: FakeApi, harness: Harness) -> None:
    api.remove(DEPLOYMENT, "ns", "m", silently=True)
    owners = [{"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "other", "controller": True}]
    metadata = {"name": "m", "namespace": "ns", "labels": LABELS, "ownerReferences": owners}
    api.put(DEPLOYMENT, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata})
    replica(api, "m-5d4f-a", REJECTED)
    replica(api, "m-5d4f-b", RUNNING)
    await harness.settle()
    assert api.names(POD) == ["m-5d4f-a", "m-5d4f-b"]


async def test_a_deletion_that_is_refused_holds_up_nothing(
    api: FakeApi, harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse["delete", "Pod"] = 403, {"message": "pods is forbidden"}
    replica(api, "m-5d4f-a", REJECTED)
    replica(api, "m-5d4f-b", RUNNING)
    await harness.settle()
    assert harness.condition("Ready")["status"] == "True"
    assert harness.errors == []
    assert "Failed to delete the rejected Pod ns/m-5d4f-a" in caplog.text
    api.refuse.clear()
    harness.handlers.queue_all(0.0)
    await harness.settle()
    assert api.names(POD) == ["m-5d4f-b"]
