"""Pods: what one waits for, why one was evicted, and why none is created."""

from __future__ import annotations

from typing import Any

from tests.operator.observations import (
    NO_DEVICE,
    deployment,
    pod,
    trouble,
    unscheduled,
    with_container,
)


def test_the_cluster_refuses_the_pods() -> None:
    def refused(name: str, words: str) -> Any:
        message = f'pods "{name}" is forbidden: {words}'
        condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
        return deployment(1, conditions=[condition])

    quota = "exceeded quota: few, requested: requests.hearth.dev/fake-accelerator=1, used: 2, limited: 2"
    found = trouble(deployment=refused("tiny-6c9d-abcde", quota))
    assert (found.reason, found.stage) == ("FailedCreate", "broken")
    assert found.message.startswith(f"the pods of Deployment tiny cannot be created: {quota}; ")
    assert found == trouble(deployment=refused("tiny-6c9d-zzzzz", quota)), "every attempt has another name"
    security = 'violates PodSecurity "restricted:latest": runAsNonRoot != true'
    assert "serve the model from a namespace that allows it" in trouble(deployment=refused("a", security)).message


def test_a_node_that_ended_the_pod() -> None:
    evicted = pod(phase="Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage.")
    found = trouble(evicted)
    assert (found.reason, found.stage) == ("Evicted", "broken")
    assert "Evicted: The node was low on resource: ephemeral-storage." in found.message
    assert trouble(evicted, unscheduled(NO_DEVICE), deployment=deployment(1)).reason == "InsufficientAccelerators"


def test_a_sidecar_that_fails_is_named_by_its_own_words() -> None:
    both = with_container(ready=True, started=True, state={"running": {}})
    both["status"]["containerStatuses"].append(
        {"name": "proxy", "image": "proxy:1", "ready": False, "restartCount": 0,
         "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    )  # fmt: skip
    assert "the image proxy:1" in trouble(both).message
