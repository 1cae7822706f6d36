"""Which nodes a download is kept to: never one that would bind the cache to where the engine cannot run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hearth.operator.diagnosis.prewarm import HOSTNAME, MOST_NODES, prewarm_nodes
from hearth.operator.objects import Claim, Node, read
from hearth.planning import Plan
from tests.operator.observations import DEVICE, made, node

ARCH = {"kubernetes.io/arch": "amd64"}


def at(name: str, devices: int | None = 4, labels: Mapping[str, str] | None = None, **spec: Any) -> Node:
    return node(name, devices, {HOSTNAME: name, **(labels or {})}, **spec)


def chosen(*nodes: Any, plan: Plan | None = None, claims: Any = ()) -> tuple[str, ...] | None:
    return prewarm_nodes(plan or prewarming(), nodes, [read(claim, Claim) for claim in claims])


def prewarming(spec: Mapping[str, Any] | None = None, **accelerator: Any) -> Plan:
    return made({"cache": {"prewarm": True}, **(spec or {})}, {"accelerator": {"resourceName": DEVICE, **accelerator}})


def test_the_nodes_that_have_the_device_whether_it_is_free_or_not() -> None:
    assert chosen(at("gpu-2"), at("cpu", None), at("none", 0), at("gpu-1", 1)) == ("gpu-1", "gpu-2")


def test_no_node_has_the_device_yet() -> None:
    assert chosen(at("cpu", None)) is None
    assert chosen() is None


def test_as_many_devices_as_a_replica_asks_for() -> None:
    plan = prewarming({"resources": {"accelerators": 2}})
    assert chosen(at("one", 1), at("two", 2), plan=plan) == ("two",)


def test_nodes_that_may_not_take_the_engine_are_left_out() -> None:
    taint = {"key": "own", "effect": "NoSchedule"}
    assert chosen(at("a", taints=[taint]), at("b", unschedulable=True), at("c")) == ("c",)
    assert chosen(at("a", taints=[taint]), plan=prewarming(tolerations=[{"key": "own", "operator": "Exists"}])) == (
        "a",
    )


@pytest.mark.parametrize(
    "accelerator",
    [
        {"nodeSelector": ARCH},
        {"nodeRequirements": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]},
    ],
)
def test_a_runtime_that_says_which_nodes_is_trusted_where_they_all_have_the_device(accelerator: Any) -> None:
    plan = prewarming(**accelerator)
    assert chosen(at("gpu", labels=ARCH), at("other", None), plan=plan) == ()
    assert chosen(at("other", None), plan=plan) == (), "a Job that waits makes an autoscaler add such a node"
    assert chosen(at("gpu", labels=ARCH), at("cpu", None, ARCH), plan=plan) == ("gpu",), "its labels say too little"
    assert chosen(at("cpu", None, ARCH), plan=plan) is None


def test_an_engine_without_a_device_may_be_anywhere() -> None:
    plan = prewarming()
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
