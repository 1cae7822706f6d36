"""Accelerators: which part of a demand no node meets, and which services hold the devices."""

from __future__ import annotations

from tests.operator.observations import (
    HALF,
    NO_DEVICE,
    deployment,
    made,
    node,
    ready_pod,
    trouble,
    unscheduled,
)


def test_no_node_has_the_device() -> None:
    found = trouble(unscheduled(NO_DEVICE), nodes=[node(devices=None), node(devices=0)])
    assert (found.reason, found.stage) == ("NoAccelerator", "broken")
    assert found.message == (
        "no node of the cluster has hearth.dev/fake-accelerator; install the device plugin of Fake, add such a node, or "
        "choose another runtime (spec.runtime)"
    )
    assert found.notice == "no node of the cluster has the accelerator that the model needs"


def test_more_devices_than_any_node_has() -> None:
    found = trouble(unscheduled(NO_DEVICE), plan=HALF, nodes=[node(devices=1), node(devices=1)])
    assert (found.reason, found.stage) == ("NodeTooSmall", "broken")
    assert found.message.startswith(
        "a replica requests 2 hearth.dev/fake-accelerator and the largest node has 1; lower "
    )


def test_nodes_that_have_it_may_not_take_it() -> None:
    plan = made(None, {"accelerator": {"resourceName": "hearth.dev/fake-accelerator", "nodeSelector": {"zone": "a"}}})
    words = (
        "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: own}, 2 node(s) didn't match Pod's node "
        "affinity/selector. preemption: x"
    )
    nodes = [
        node(labels={"zone": "a"}, taints=[{"key": "gpu", "value": "own", "effect": "NoSchedule"}]),
        node(),
        node(),
    ]
    found = trouble(unscheduled(words), plan=plan, nodes=nodes)
    assert (found.reason, found.stage) == ("NodesExcluded", "broken")
    assert found.message.startswith(
        "3 nodes have enough hearth.dev/fake-accelerator but may not run the pod: 2 without the label zone=a, 1 with the "
        "taint gpu=own:NoSchedule; change those nodes, or spec.accelerator.nodeSelector and tolerations of runtime"
    )


def test_all_devices_are_taken_and_by_whom() -> None:
    found = trouble(
        unscheduled(NO_DEVICE.replace("1", "3")),
        nodes=[node(devices=4), node(devices=2), node(devices=None)],
        holders={"ai/older": 2, "ai/idle": 0, "others/private-name": 1},
    )
    assert (found.reason, found.stage) == ("InsufficientAccelerators", "waiting")
    assert found.message == (
        "all 6 hearth.dev/fake-accelerator are in use (2 by LLMService older, 1 by others); the pod starts as soon as "
        "enough are free: let another service scale to zero (lower its spec.scaling.min or max), or add a node"
    )
    assert found.notice == "all accelerators of the cluster are in use; the model starts as soon as one is free"


def test_devices_held_by_the_service_itself() -> None:
    ending = {**ready_pod("tiny-0"), "metadata": {"name": "tiny-0", "deletionTimestamp": "2026-11-24T00:59:00Z"}}
    found = trouble(
        ready_pod(), ending, unscheduled(NO_DEVICE, name="tiny-2"), nodes=[node(devices=2)], deployment=deployment(2)
    )
    assert "(1 by this service, 1 by its terminating replicas)" in found.message


def test_devices_that_are_free_but_not_together() -> None:
    full = unscheduled(NO_DEVICE.replace("1", "2"))
    found = trouble(full, plan=HALF, service=HALF.service, nodes=[node(devices=2), node(devices=2)])
    assert found.message.startswith("no node has 2 of the 4 hearth.dev/fake-accelerator free; ")
