"""The observer: what it gathers, from where, and how often it asks for nodes."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.cache import Key
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.kubernetes.kinds import POD
from hearth.operator.status.observer import NODES_KEPT, Observer
from hearth.planning import SERVICE_LABEL
from hearth.plugins import VendorHost
from tests.operator.harness import Harness
from tests.support.fake_api import FakeApi

NO_NODE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}


@pytest.fixture
async def harness() -> Harness:
    """Return an operator with the services `m` and `other`."""
    found = Harness(FakeApi(), VendorHost.of({}))
    await found.start()
    found.runtime("engine")
    found.node("node-1", devices=4)
    found.service("m")
    found.service("other")
    await found.settle()
    return found


@pytest.fixture
def observer(harness: Harness) -> Observer:
    return Observer(harness.api, harness.cache, harness.keda, harness.clock.time)


def put_pod(harness: Harness, name: str, service: str, node: str = "", namespace: str = "ns", **status: Any) -> None:
    labels = {SERVICE_LABEL: service, "app.kubernetes.io/managed-by": "hearth"}
    limits = {"resources": {"limits": {"acme.example/device": "2", "memory": "1Gi"}}}
    spec: dict[str, Any] = {"containers": [{"name": "serving", **limits}], **({"nodeName": node} if node else {})}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    harness.api.put(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    harness.api.set_status(POD, namespace, name, {"phase": "Pending", **status})


async def observe(harness: Harness, observer: Observer, name: str = "m") -> Observed:
    return await observer.observe(harness.cache.services[Key("ns", name)], None, ("a warning",))


async def test_a_service_is_observed_with_what_belongs_to_it(harness: Harness, observer: Observer) -> None:
    put_pod(harness, "m-1", "m", "node-1")
    put_pod(harness, "other-1", "other", "node-1")
    observed = await observe(harness, observer)
    assert observed.service.metadata.name == "m"
    assert observed.deployment is not None
    assert [pod.metadata.name for pod in observed.pods] == ["m-1"]
    assert (observed.gateway is not None, observed.warnings) == (True, ("a warning",))
    assert (observed.nodes, observed.holders) == (None, {}), "nothing waits for a node"


async def test_nodes_are_listed_once_for_many_services_that_wait(harness: Harness, observer: Observer) -> None:
    for service in ("m", "other"):
        put_pod(harness, f"{service}-1", service, conditions=[NO_NODE])

    def lists() -> int:
        return harness.api.requests.count(("list", "Node", ""))

    before = lists()
    for service in ("m", "other", "m"):
        observed = await observe(harness, observer, service)
        assert [node.metadata.name for node in observed.nodes or ()] == ["node-1"]
    assert lists() == before + 1
    harness.clock.now += NODES_KEPT + 1
    await observe(harness, observer)
    assert lists() == before + 2


async def test_holders_are_the_other_services_that_run_on_nodes(harness: Harness, observer: Observer) -> None:
    put_pod(harness, "m-1", "m", conditions=[NO_NODE])
    put_pod(harness, "other-1", "other", "node-1")
    put_pod(harness, "other-2", "other", "node-1")
    put_pod(harness, "other-3", "other")
    put_pod(harness, "over-1", "over", "node-1", phase="Failed")
    put_pod(harness, "far-1", "far", "node-2", namespace="theirs")
    assert (await observe(harness, observer)).holders == {"ns/other": 4, "theirs/far": 2}
