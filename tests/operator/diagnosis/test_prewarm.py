"""Prewarming: the nodes that a download is restricted to, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hearth.operator.diagnosis.prewarm import HOSTNAME, MOST_NODES, prewarm_nodes
from hearth.operator.objects import Claim, Node, read
from hearth.planning import Plan
from tests.operator.observations import (
    DEVICE,
    ended,
    job,
    made,
    node,
    prewarming,
    seen,
    unscheduled,
    with_container,
)

ARCH = {"kubernetes.io/arch": "amd64"}


def at(name: str, devices: int | None = 4, labels: Mapping[str, str] | None = None, **spec: Any) -> Node:
    return node(name, devices, {HOSTNAME: name, **(labels or {})}, **spec)


def chosen(*nodes: Any, plan: Plan | None = None, claims: Any = ()) -> tuple[str, ...] | None:
    return prewarm_nodes(plan or plan_with(), nodes, [read(claim, Claim) for claim in claims])


def plan_with(spec: Mapping[str, Any] | None = None, **accelerator: Any) -> Plan:
    return made({"cache": {"prewarm": True}, **(spec or {})}, {"accelerator": {"resourceName": DEVICE, **accelerator}})


def test_the_nodes_that_have_the_device_whether_it_is_free_or_not() -> None:
    assert chosen(at("gpu-2"), at("cpu", None), at("none", 0), at("gpu-1", 1)) == ("gpu-1", "gpu-2")


def test_no_node_has_the_device_yet() -> None:
    assert chosen(at("cpu", None)) is None
    assert chosen() is None


def test_as_many_devices_as_a_replica_asks_for() -> None:
    plan = plan_with({"resources": {"accelerators": 2}})
    assert chosen(at("one", 1), at("two", 2), plan=plan) == ("two",)


def test_nodes_that_may_not_take_the_engine_are_left_out() -> None:
    taint = {"key": "own", "effect": "NoSchedule"}
    assert chosen(at("a", taints=[taint]), at("b", unschedulable=True), at("c")) == ("c",)
    assert chosen(at("a", taints=[taint]), plan=plan_with(tolerations=[{"key": "own", "operator": "Exists"}])) == ("a",)


@pytest.mark.parametrize(
    "accelerator",
    [
        {"nodeSelector": ARCH},
        {"nodeRequirements": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]},
    ],
)
def test_a_runtime_that_says_which_nodes_is_trusted_where_they_all_have_the_device(accelerator: Any) -> None:
    plan = plan_with(**accelerator)
    assert chosen(at("gpu", labels=ARCH), at("other", None), plan=plan) == ()
    assert chosen(at("other", None), plan=plan) == (), "a Job that waits makes an autoscaler add such a node"
    assert chosen(at("gpu", labels=ARCH), at("cpu", None, ARCH), plan=plan) == ("gpu",), "its labels say too little"
    assert chosen(at("cpu", None, ARCH), plan=plan) is None


def test_an_engine_without_a_device_may_be_anywhere() -> None:
    plan = plan_with()
    plan.pod["spec"]["containers"][0]["resources"]["limits"].pop(DEVICE)
    assert chosen(at("cpu", None), plan=plan) == ()


def test_the_label_counts_and_not_the_name() -> None:
    assert chosen(node("node-1", 4, {HOSTNAME: "ip-10-0-0-1"})) == ("ip-10-0-0-1",)
    assert chosen(node("node-1", 4)) is None


def test_the_list_is_bounded_and_keeps_the_node_that_has_the_volume() -> None:
    nodes = [at(f"gpu-{number:03}") for number in range(MOST_NODES + 50)]
    names = chosen(*nodes)
    assert names is not None
    assert (len(names), names[0]) == (MOST_NODES, "gpu-000")
    claim = {
        "metadata": {"name": "tiny-cache", "annotations": {"volume.kubernetes.io/selected-node": "gpu-149"}},
        "status": {"phase": "Bound"},
    }
    names = chosen(*nodes, claims=[claim])
    assert names is not None
    assert (len(names), names[0]) == (MOST_NODES, "gpu-149")


def test_a_prewarm_that_waits_for_a_node_says_so() -> None:
    for nodes in ([], [node(devices=None)]):
        _, found = seen(prewarming(nodes=nodes))
        assert found["Prewarmed"]["reason"] == "NoAccelerator"
        assert found["Prewarmed"]["message"] == (
            "prewarming waits for an eligible node with hearth.dev/fake-accelerator; the engine could not use weights that were "
            "downloaded to another node"
        )
    _, found = seen(prewarming(nodes=[node(labels={"kubernetes.io/hostname": "a"})]))
    assert found["Prewarmed"]["reason"] == "Prewarming"


def test_a_prewarm_pod_is_not_explained_by_the_engines_devices() -> None:
    """The nodes that it was kept to are gone; that no node has the engine's device is another matter."""
    lost = unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.")
    _, found = seen(prewarming(prewarm=job(), prewarm_pods=[lost], nodes=[node(devices=None)]))
    assert found["Prewarmed"]["reason"] == "Prewarming"
    assert "didn't match Pod's node affinity/selector" in found["Prewarmed"]["message"]
    assert found["Prewarmed"]["message"].endswith(". To choose its nodes again: kubectl delete job -n ai tiny-prewarm")


def test_a_failed_prewarm_says_why_and_how_to_try_again() -> None:
    message = "Traceback (most recent call last):\nhuggingface_hub.errors.GatedRepoError: 401 Client Error."
    failed = with_container("tiny-prewarm-x", name="prewarm", state=ended(1, message))
    failed["status"]["phase"] = "Failed"
    _, found = seen(prewarming(prewarm=job("Failed"), prewarm_pods=[failed]))
    assert "GatedRepoError: 401 Client Error." in found["Prewarmed"]["message"]
    assert "accept the model's licence" in found["Prewarmed"]["message"]
    assert "kubectl delete job -n ai tiny-prewarm" in found["Prewarmed"]["message"]
