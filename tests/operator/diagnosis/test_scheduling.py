"""Scheduling: the scheduler's message and the nodes say why a pod has no node."""

from __future__ import annotations

from tests.operator.observations import (
    NO_DEVICE,
    node,
    trouble,
    unscheduled,
)


def test_devices_that_only_nodes_without_them_lack() -> None:
    """Two nodes have no device at all, and the one that has idle ones is short of memory."""
    words = "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient hearth.dev/fake-accelerator. preemption: x"
    found = trouble(unscheduled(words), nodes=[node(devices=8), node(devices=None), node(devices=0)])
    assert (found.reason, found.stage) == ("InsufficientResources", "waiting")
    assert found.message == (
        "no node has room for the pod: too little memory free (0/3 nodes are available: 1 Insufficient memory, 2 Insufficient "
        "hearth.dev/fake-accelerator); lower spec.resources.memory, or add a node"
    )
    assert found.notice == "no node of the cluster has room for the pod"


def test_devices_that_only_some_of_their_nodes_lack() -> None:
    words = "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient hearth.dev/fake-accelerator. preemption: x"
    found = trouble(unscheduled(words), nodes=[node(devices=8), node(devices=4), node(devices=None)])
    assert (found.reason, found.stage) == ("InsufficientResources", "waiting")
    assert found.message.startswith(
        "no node has room for the pod: too little memory and hearth.dev/fake-accelerator free (0/3 "
    )
    assert "; lower spec.resources.memory and spec.resources.accelerators, or add a node" in found.message


def test_nodes_that_may_not_take_the_pod_say_nothing_about_devices() -> None:
    """The scheduler names the taint of such a node, and not what else it lacks."""
    words = (
        "0/3 nodes are available: 1 Insufficient hearth.dev/fake-accelerator, 2 node(s) had untolerated taint {own: }. "
        "preemption: x"
    )
    tainted = node(devices=None, taints=[{"key": "own", "effect": "NoSchedule"}])
    found = trouble(unscheduled(words), nodes=[node(devices=8), tainted, tainted])
    assert found.message.startswith("all 8 hearth.dev/fake-accelerator are in use; ")


def test_a_node_with_free_devices_that_is_full_of_pods() -> None:
    words = "0/2 nodes are available: 1 Insufficient hearth.dev/fake-accelerator, 1 Too many pods. preemption: x"
    found = trouble(unscheduled(words), nodes=[node(devices=8), node(devices=None)])
    assert (found.reason, found.stage) == ("Unschedulable", "broken")
    found = trouble(unscheduled(words), nodes=[node(devices=8), node(devices=8)])
    assert (found.reason, found.stage) == ("InsufficientAccelerators", "waiting")
    assert found.message.startswith("no node has room for the pod: too little hearth.dev/fake-accelerator free (0/2 ")
    assert found.notice == "no node of the cluster has room for the pod"


def test_a_device_that_only_the_scheduler_knows() -> None:
    """A scheduler's extender may count what no node announces; the nodes then say nothing about it."""
    found = trouble(unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpumem."), nodes=[node()])
    assert (found.reason, found.stage) == ("InsufficientAccelerators", "waiting")
    assert found.message.startswith(
        "no node has room for the pod: too little nvidia.com/gpumem free (0/1 nodes are available: "
    )


def test_nobody_looked_at_the_nodes() -> None:
    found = trouble(unscheduled(NO_DEVICE), nodes=None)
    assert found.message.startswith("no node has room for the pod: too little hearth.dev/fake-accelerator free (0/1 ")


def test_too_little_memory() -> None:
    found = trouble(
        unscheduled("0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory. preemption: x"), nodes=[node()]
    )
    assert (found.reason, found.stage) == ("InsufficientResources", "waiting")
    assert "lower spec.resources.cpu and spec.resources.memory, or add a node" in found.message


def test_words_that_are_not_known_are_quoted() -> None:
    found = trouble(unscheduled("0/1 nodes are available: 1 Too many pods. preemption: x"), nodes=[node()])
    assert (found.reason, found.stage) == ("Unschedulable", "broken")
    assert "the pod is unschedulable: 0/1 nodes are available: 1 Too many pods; " in found.message


def test_a_scheduling_gate() -> None:
    found = trouble(unscheduled("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated"))
    assert (found.reason, found.stage) == ("SchedulingGated", "waiting")
