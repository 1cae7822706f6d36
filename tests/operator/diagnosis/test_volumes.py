"""Volumes: claims that keep a pod from being scheduled."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.observations import (
    made,
    node,
    ready_pod,
    trouble,
    unscheduled,
)

CONFLICTS = ("had volume node affinity conflict", "didn't match PersistentVolume's node affinity")
"""The words of older and of newer schedulers."""


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_a_volume_on_a_node_that_cannot_run_it(conflict: str) -> None:
    """A download bound it to a node without a device. Nothing but a new volume helps."""
    words = (
        f"0/2 nodes are available: 1 Insufficient hearth.dev/fake-accelerator, 1 node(s) {conflict}. no new claims to "
        "deallocate, preemption: x"
    )
    found = trouble(unscheduled(words), nodes=[node(devices=8), node(devices=None)])
    assert (found.reason, found.stage) == ("VolumeNodeConflict", "broken")
    assert found.message == (
        "no node that could run the pod can use the volume of claim 'tiny-cache', which belongs to another node; if the "
        "weights may be downloaded again, `kubectl delete -n ai pvc/tiny-cache` has it recreated where there is room"
    )
    assert found.notice == "the nodes with room cannot use the volume; the owner can see why in the LLMService status"


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_a_volume_on_a_node_that_is_full(conflict: str) -> None:
    plan = made({"cache": {"prewarm": True}})
    words = f"0/2 nodes are available: 1 Insufficient hearth.dev/fake-accelerator, 1 node(s) {conflict}. preemption: x"
    found = trouble(unscheduled(words), plan=plan, nodes=[node(devices=8), node(devices=8)])
    assert (found.reason, found.stage) == ("VolumeNodeConflict", "waiting")
    assert found.message == (
        "the nodes that have room for the pod cannot use the volume of claim 'tiny-cache', which belongs to another node; the "
        "pod starts when there is room on that node, or if the weights may be downloaded again, `kubectl delete -n ai "
        "pvc/tiny-cache job/tiny-prewarm` has it recreated where there is room"
    )
    assert trouble(unscheduled(words), plan=plan, nodes=None).stage == "waiting"


def test_a_volume_that_another_replica_uses() -> None:
    plan = made({"scaling": {"max": 2}})
    words = (
        f"0/2 nodes are available: 1 Insufficient hearth.dev/fake-accelerator, 1 node(s) {CONFLICTS[0]}. preemption: x"
    )
    pods = (ready_pod(), unscheduled(words, name="tiny-2"))
    found = trouble(*pods, plan=plan, nodes=[node(devices=1), node(devices=1)])
    assert found.message.endswith(
        "; all replicas share it: lower spec.scaling.max, or set spec.cache.strategy: HostPath"
    )


def test_a_volume_that_is_not_hearths_is_never_to_be_deleted() -> None:
    words = f"0/1 nodes are available: 1 node(s) {CONFLICTS[1]}. preemption: x"
    for claim in ("weights", "tiny-cache"):
        plan = made({"model": {"source": {"uri": f"pvc://{claim}"}}})
        for nodes in (None, [node()]):
            found = trouble(unscheduled(words), plan=plan, nodes=nodes)
            assert (found.reason, found.stage) == ("VolumeNodeConflict", "broken")
            assert f"claim '{claim}', which belongs to another node; make room on that node, or move" in found.message
            assert "delete" not in found.message


def claim(name: str = "tiny-cache", phase: str = "Pending", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ((), "the volume claim 'tiny-cache' is not bound; "),
        (
            (claim(),),
            "the volume claim 'tiny-cache' is not bound: it names no StorageClass and the cluster has no default one; ",
        ),
        ((claim(phase="Bound"),), "the volume claim 'tiny-cache' is not bound; "),
        (
            (claim(storageClassName="fast"),),
            "the volume claim 'tiny-cache' is not bound: StorageClass 'fast' has not provisioned a volume for it; ",
        ),
    ],
)
def test_a_claim_that_is_not_bound(claims: Any, words: str) -> None:
    found = trouble(unscheduled(UNBOUND), claims=claims)
    assert (found.reason, found.stage) == ("VolumeNotBound", "broken")
    assert found.message.startswith(words)
    assert "set spec.cache.storageClassName to one of `kubectl get storageclass`" in found.message


def test_a_claim_that_does_not_exist() -> None:
    plan = made({"model": {"source": {"uri": "pvc://weights"}}})
    found = trouble(unscheduled('0/1 nodes are available: persistentvolumeclaim "weights" not found. x'), plan=plan)
    assert (found.reason, found.stage) == ("VolumeMissing", "broken")
    assert found.message == "the volume claim 'weights' does not exist; create it, or correct spec.model.source.uri"
