"""What is read of Kubernetes' objects, and what makes one differ from another."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hearth.operator.kubernetes.errors import Malformed
from hearth.operator.objects import (
    Claim,
    Deployment,
    Job,
    Node,
    Pod,
    ScaledObject,
    Service,
    read,
    read_managers,
    read_metadata,
    read_view,
)
from tests.operator.observations import moments, node, ready_pod, recorded

POD: dict[str, Any] = {
    "metadata": {
        "name": "m-1",
        "namespace": "ns",
        "uid": "u",
        "labels": {"a": "b"},
        "annotations": {"cni": "10.0.0.1"},
        "creationTimestamp": "2026-11-24T00:40:00Z",
        "managedFields": [{"manager": "kubelet"}],
    },
    "spec": {
        "nodeName": "node-1",
        "containers": [{"name": "serving", "image": "i", "resources": {"limits": {"acme.example/device": "2"}}}],
        "volumes": [{"name": "v"}],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [
            {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-11-24T00:41:00Z"},
            {"type": "PodScheduled", "status": "True"},
        ],
        "containerStatuses": [
            {
                "name": "serving",
                "image": "i",
                "ready": True,
                "started": True,
                "restartCount": 2,
                "state": {"running": {"startedAt": "2026-11-24T00:41:00Z"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "x"}},
            }
        ],
    },
}


def test_a_pod() -> None:
    pod = read(POD, Pod)
    assert (pod.metadata.name, pod.metadata.namespace, pod.spec.node_name) == ("m-1", "ns", "node-1")
    assert list(pod.limits) == [{"acme.example/device": "2"}]
    assert pod.is_ready
    assert [pod.is_ending, pod.is_over, pod.is_unschedulable] == [False] * 3
    status = pod.status.container_statuses[0]
    assert (status.state.waiting, status.state.terminated, status.restart_count) == (None, None, 2)
    assert status.last_state.terminated is not None
    assert (status.last_state.terminated.exit_code, status.last_state.terminated.reason) == (137, "OOMKilled")


def test_a_pod_that_is_being_deleted_is_not_ready() -> None:
    pod = copy.deepcopy(POD)
    pod["metadata"]["deletionTimestamp"] = "2026-11-24T01:00:00Z"
    assert read(pod, Pod).is_ending
    assert not read(pod, Pod).is_ready


def test_a_pod_without_conditions_is_in_no_condition() -> None:
    pod = read({"metadata": {"name": "m-1", "namespace": "ns"}}, Pod)
    assert pod.condition("Ready").status == ""
    assert not pod.is_unschedulable


def test_what_changes_where_nobody_reads_makes_no_other_pod() -> None:
    other = copy.deepcopy(POD)
    other["metadata"] |= {"resourceVersion": "7", "annotations": {}, "managedFields": []}
    other["status"]["podIP"] = "10.0.0.2"
    other["status"]["conditions"][0]["lastProbeTime"] = "2026-11-24T01:00:00Z"
    other["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = "2026-11-24T02:00:00Z"
    assert read(other, Pod) == read(POD, Pod)
    other["status"]["conditions"][0]["status"] = "False"
    assert read(other, Pod) != read(POD, Pod)


def test_a_deployment_keeps_the_condition_that_says_why_it_has_no_pods() -> None:
    wire = {
        "metadata": {"name": "m", "namespace": "ns"},
        "spec": {"replicas": 2},
        "status": {
            "availableReplicas": 1,
            "conditions": [
                {"type": "Progressing", "status": "True", "message": "1 of 2 updated"},
                {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"},
            ],
        },
    }
    deployment = read(wire, Deployment)
    assert deployment.is_available
    assert (deployment.spec.replicas, deployment.replica_failure.message) == (2, "exceeded quota")
    wire["status"] = {"availableReplicas": 1, "conditions": [{"type": "Progressing", "status": "False"}]}
    assert read(wire, Deployment).status.conditions == ()


def test_a_deployment_has_kubernetes_own_defaults() -> None:
    deployment = read({"metadata": {"name": "m"}}, Deployment)
    assert (deployment.spec.replicas, deployment.is_available, deployment.replica_failure.is_true) == (1, False, False)


def test_a_scaled_object_says_whether_keda_was_ever_asked_and_not_when() -> None:
    def scaled(**status: Any) -> ScaledObject:
        return read({"metadata": {"name": "m"}, "status": status}, ScaledObject)

    assert scaled(lastActiveTime="2026-11-24T00:00:00Z") == scaled(lastActiveTime="2026-11-24T00:00:30Z")
    assert scaled(lastActiveTime="2026-11-24T00:00:00Z") != scaled()
    assert scaled(conditions=[{"type": "Active", "status": "True"}]) == scaled()


def test_a_job_a_claim_a_service_and_a_node() -> None:
    job = read(recorded("job_failed"), Job)
    assert job.failure.is_true
    assert not job.is_complete
    claim = read({"metadata": {"name": "c"}, "spec": {"storageClassName": "fast"}, "status": {"phase": "Bound"}}, Claim)
    assert (claim.spec.storage_class_name, claim.status.phase) == ("fast", "Bound")
    assert read({"spec": {"clusterIP": "10.96.0.7"}}, Service).spec.cluster_ip == "10.96.0.7"
    assert node("n", taints=[{"key": "k", "effect": "NoSchedule"}]).spec.taints[0].effect == "NoSchedule"
    assert isinstance(node(), Node)


def test_metadata() -> None:
    metadata = read_metadata(
        {
            "metadata": {
                "name": "m",
                "namespace": "ns",
                "uid": "u",
                "resourceVersion": "42",
                "labels": {"app.kubernetes.io/managed-by": "hearth"},
                "ownerReferences": [{"uid": "other"}, {"uid": "owner", "controller": True}],
            }
        }
    )
    assert (metadata.version, metadata.controller, metadata.is_hearths) == (42, "owner", True)
    assert read_metadata({"metadata": {"name": "m", "uid": "u", "resourceVersion": "opaque"}}).version == 0


def test_managers() -> None:
    managed = {"metadata": {"managedFields": [{"manager": "a", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]}}
    (entry,) = read_managers(managed)
    assert (entry.manager, entry.operation, entry.fields) == ("a", "Apply", {"f:spec": {}})


def test_null_means_absent() -> None:
    wire = {"metadata": {"name": "m", "annotations": None}, "status": {"conditions": [None], "hpaName": None}}
    wire["status"]["conditions"] = None
    assert read(wire, ScaledObject) == read({"metadata": {"name": "m"}}, ScaledObject)


@pytest.mark.parametrize(
    ("wire", "names"),
    [
        ({"metadata": {"name": "m", "namespace": "ns"}, "spec": {"replicas": "two"}}, "ns/m.*replicas"),
        ({"metadata": "none"}, "an object without a name"),
        ({}, "an object without a name"),
    ],
)
def test_a_malformed_object_is_named(wire: Any, names: str) -> None:
    with pytest.raises(Malformed, match=names):
        read(wire, Deployment)


def test_kinds_that_nobody_looks_into_are_not_kept() -> None:
    from hearth.operator.kubernetes.kinds import BUDGET, DEPLOYMENT

    assert read_view(BUDGET, {"metadata": {"name": "b"}}) is None
    assert isinstance(read_view(DEPLOYMENT, {"metadata": {"name": "b"}}), Deployment)


@pytest.mark.parametrize("case", ["crash", "image_denied", "evicted", "oom", "prewarm", "startup"])
def test_every_recorded_pod_can_be_read(case: str) -> None:
    assert [read(moment, Pod).metadata.name for moment in moments(case)]
    assert read(ready_pod(), Pod).is_ready
