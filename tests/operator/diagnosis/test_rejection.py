"""Rejection: a node that refuses a pod, once or one pod after the other."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.diagnosis.program import engine
from hearth.operator.diagnosis.rejection import is_rejected, rejected, superseded
from hearth.operator.objects import Pod, read
from tests.operator.observations import (
    LOADING,
    deployment,
    gateway,
    made,
    observation,
    pod,
    ready_pod,
    seen,
)

FULL = "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000, used: 2000, capacity: 4000"
LABELS = "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
DEVICES = "Pod was rejected: Allocate failed due to no healthy devices present, which is unexpected"


def refused(
    name: str = "tiny-1", reason: str = "OutOfcpu", message: str = FULL, at: str = "2026-11-24T00:50:00Z"
) -> dict[str, Any]:
    made_by_node = pod(name, phase="Failed", reason=reason, message=message)
    made_by_node["metadata"]["creationTimestamp"] = at
    return made_by_node


def as_pod(item: Any) -> Pod:
    return read(item, Pod)


@pytest.mark.parametrize(
    ("reason", "message", "word", "said"),
    [
        (
            "OutOfcpu",
            FULL,
            "OutOfcpu",
            "(OutOfcpu: Node didn't have enough resource: cpu); another pod is scheduled; if",
        ),
        ("OutOfpods", FULL, "OutOfpods", "compare what runs on the node with its allocatable resources"),
        ("OutOfnvidia.com/gpu", FULL, "PodRejected", "(OutOfnvidia.com/gpu: Node didn't have"),
        ("UnexpectedAdmissionError", DEVICES, "UnexpectedAdmissionError", "restart the device plugin of the node"),
        ("NodeAffinity", LABELS, "NodeAffinity", "restore the labels of the node"),
        ("NodeShutdown", "Pod was rejected as the node is shutting down.", "NodeShutdown", "it needs another node"),
        (
            "TopologyAffinityError",
            "Pod was rejected: Resources cannot be allocated",
            "PodRejected",
            "(TopologyAffinityE",
        ),
        ("Evicted", "Pod was rejected: The node had condition: [DiskPressure].", "PodRejected", "[DiskPressure])"),
    ],
)
def test_rejections_have_the_kubelets_word_where_it_can_be_a_reason(
    reason: str, message: str, word: str, said: str
) -> None:
    found = as_pod(refused(reason=reason, message=message))
    assert is_rejected(found)
    diagnosis = rejected(found, engine(made()))
    assert (diagnosis.reason, diagnosis.stage) == (word, "waiting")
    assert diagnosis.message.startswith(f"a node rejected the pod of the engine ({reason}: ")
    assert said in diagnosis.message


def test_rejection_is_not_eviction() -> None:
    evicted = pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    assert not is_rejected(as_pod(evicted))
    assert not is_rejected(as_pod(ready_pod()))
    assert not is_rejected(as_pod(pod(phase="Failed", reason="", message="")))


def test_two_attempts_say_the_same() -> None:
    other = FULL.replace("2000", "2500")
    first, second = (rejected(as_pod(refused(message=message)), engine(made())) for message in (FULL, other))
    assert first == second


def test_rejected_replica_is_reported_beside_the_one_that_takes_its_place() -> None:
    observed = observation(deployment=deployment(1), pods=[refused(), LOADING])
    phase, found = seen(observed)
    assert (phase, found["Ready"]["reason"]) == ("Loading", "Loading"), "the replica that is furthest counts"
    assert (found["Scaled"]["status"], found["Scaled"]["reason"]) == ("False", "OutOfcpu")
    assert found["Scaled"]["message"].startswith(
        "0 of 1 desired replicas are ready: a node rejected the pod of the engine"
    )


def test_nodes_that_reject_one_pod_after_the_other_break_the_service() -> None:
    pods = [
        refused("tiny-1", at="2026-11-24T00:50:00Z"),
        refused("tiny-2", at="2026-11-24T00:50:02Z"),
        pod("tiny-3", node=None, phase="Pending"),
    ]
    pods[2]["metadata"]["creationTimestamp"] = "2026-11-24T00:50:04Z"
    phase, found = seen(observation(deployment=deployment(1), pods=pods))
    assert (phase, found["Ready"]["reason"]) == ("Degraded", "OutOfcpu")


def test_rejected_gateway_is_why_nobody_is_answered() -> None:
    down = gateway(readyReplicas=0, availableReplicas=0)
    phase, found = seen(observation(gateway=down, gateway_pods=[refused("gateway-1")]))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "GatewayUnavailable")
    assert "a node rejected the pod of the gateway (OutOfcpu: " in found["Ready"]["message"]


def names(pods: Any) -> list[str]:
    return [each.metadata.name for each in pods]


def test_superseded_rejections_are_those_that_explain_nothing_any_more() -> None:
    pods = [as_pod(refused(f"tiny-{number}", at=f"2026-11-24T00:50:0{number}Z")) for number in (3, 1, 2)]
    waiting = as_pod(pod("tiny-4", node=None, phase="Pending"))
    assert names(superseded([*pods, waiting], desired=1)) == ["tiny-1"], "the latest two show that it repeats"
    assert names(superseded([*pods, as_pod(ready_pod("tiny-4"))], desired=1)) == ["tiny-1", "tiny-2", "tiny-3"]
    assert names(superseded(pods, desired=0)) == ["tiny-1", "tiny-2", "tiny-3"]


def test_superseded_rejections_leave_other_pods_alone() -> None:
    ending = refused("tiny-1")
    ending["metadata"]["deletionTimestamp"] = "2026-11-24T00:59:00Z"
    evicted = pod("tiny-2", phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    assert superseded([as_pod(ending), as_pod(evicted), as_pod(ready_pod())], desired=0) == ()
