"""Nodes: the demand of a pod, the supply of nodes, and what keeps a node from running the pod."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.diagnosis.nodes import Demand, supply
from hearth.operator.objects import Node, read
from tests.operator.observations import DEVICE, node


def ask(count: int = 1, **spec: Any) -> Demand:
    return Demand(DEVICE, count, spec)


def requirement(key: str, operator: str, *values: str) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def test_amounts() -> None:
    found = supply(ask(2), [node(devices=4), node(devices=1), node(devices=None), read({"metadata": {}}, Node)])
    assert (found.total, found.largest, found.open, found.nodes) == (5, 4, 4, 1)
    assert (found.suitable, found.lacking) == (1, 3)
    assert supply(ask(8), [node(devices=4)]).open == 0


@pytest.mark.parametrize(
    ("where", "spec", "barrier"),
    [
        ({"labels": {"zone": "a"}}, {"nodeSelector": {"zone": "b"}}, "1 without the label zone=b"),
        ({"labels": {"zone": "a"}}, {"nodeSelector": {"zone": "a"}}, None),
        ({"unschedulable": True}, {}, "1 cordoned"),
        (
            {"taints": [{"key": "gpu", "value": "own", "effect": "NoSchedule"}]},
            {},
            "1 with the taint gpu=own:NoSchedule",
        ),
        ({"taints": [{"key": "gpu", "effect": "NoExecute"}]}, {}, "1 with the taint gpu:NoExecute"),
        ({"taints": [{"key": "gpu", "effect": "PreferNoSchedule"}]}, {}, None),
        (
            {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]},
            {},
            "1 not ready",
        ),
        (
            {"taints": [{"key": "gpu", "value": "own", "effect": "NoSchedule"}]},
            {"tolerations": [{"key": "gpu", "operator": "Equal", "value": "own"}]},
            None,
        ),
        (
            {"taints": [{"key": "gpu", "value": "own", "effect": "NoSchedule"}]},
            {"tolerations": [{"key": "gpu", "value": "other"}]},
            "1 with the taint gpu=own:NoSchedule",
        ),
        (
            {"taints": [{"key": "gpu", "value": "own", "effect": "NoSchedule"}]},
            {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]},
            "1 with the taint gpu=own:NoSchedule",
        ),
        ({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}, {"tolerations": [{"operator": "Exists"}]}, None),
        (
            {"labels": {"chip": "910b"}},
            {"affinity": requirement("chip", "In", "910c")},
            "1 outside the runtime's node requirements",
        ),
        ({"labels": {"chip": "910b"}}, {"affinity": requirement("chip", "In", "910c", "910b")}, None),
        ({"labels": {"chip": "910b"}}, {"affinity": requirement("chip", "NotIn", "910c")}, None),
        ({"labels": {}}, {"affinity": requirement("chip", "Exists")}, "1 outside the runtime's node requirements"),
        ({"labels": {}}, {"affinity": requirement("chip", "DoesNotExist")}, None),
        ({"labels": {"gen": "8"}}, {"affinity": requirement("gen", "Gt", "7")}, None),
        (
            {"labels": {"gen": "x"}},
            {"affinity": requirement("gen", "Lt", "7")},
            "1 outside the runtime's node requirements",
        ),
        ({"labels": {}}, {"affinity": requirement("gen", "Later")}, None),
    ],
)
def test_what_keeps_a_node_from_taking_a_pod(where: dict[str, Any], spec: dict[str, Any], barrier: str | None) -> None:
    found = supply(ask(1, **spec), [node(**where)])
    assert found.barriers == ((barrier,) if barrier else ())
    assert found.open == (0 if barrier else 4)


def test_nodes_that_may_not_take_the_pod_are_neither_suitable_nor_lacking() -> None:
    found = supply(ask(), [node(unschedulable=True), node(devices=None, unschedulable=True), node(), node(devices=0)])
    assert (found.nodes, found.suitable, found.lacking) == (2, 1, 1)


def test_the_most_frequent_barrier_comes_first() -> None:
    nodes = [node(labels={"zone": "c"}), node(unschedulable=True), node(unschedulable=True)]
    assert supply(ask(1, nodeSelector={"zone": "c"}), nodes).barriers == ("2 without the label zone=c",)
    assert supply(ask(), [node(), node(unschedulable=True), node(unschedulable=True)]).barriers == ("2 cordoned",)
