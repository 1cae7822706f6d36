"""Replicas that a node rejects, as it does when the resources of a node change while pods are assigned to it."""

from __future__ import annotations

import asyncio

from tests.cluster.clients import ask
from tests.cluster.kube import Object, Objects
from tests.cluster.namespace import Model, Namespace, rejection, steady

SCHEDULER = "hearth-e2e-by-hand"
"""A scheduler that does not count devices: this module plays it, so that kubelet is the only one that counts."""


async def test_a_replica_that_the_node_rejects_is_replaced(namespace: Namespace) -> None:
    """The status says why; once the node has a device, the held request is answered and the rejected pods are deleted."""
    device = await namespace.devices(0)
    runtime = await namespace.runtime(device=device, scheduler=SCHEDULER)
    model = await namespace.service(runtime=runtime, scaling={"activationTimeout": "4m"})
    asked = asyncio.create_task(ask(model.client(270), model.name, "held"))
    rejected = await _assigned(model)
    assert rejection(rejected).startswith(f"OutOf{device}"), rejected["status"]
    namespace.timeline.say(rejection(rejected))
    said = await model.until_condition("Activating", "True", "PodRejected", says=f"OutOf{device}")
    namespace.timeline.say(said["message"])
    await namespace.devices(1)
    while rejection(await _assigned(model)):
        pass  # kubelet learns of the device a moment later
    answer = await asked
    assert answer.ok(5), answer
    await namespace.kube.until_count("Pod", namespace.name, model.pods_label, _none_rejected, "no rejected pod is left")
    events = await namespace.kube.until_count("Event", namespace.name, "", _deletion, "an Event of the deletion")
    namespace.timeline.say(_deletion(events)[0])
    await model.asleep()
    assert await namespace.request_log.settle() == {"held": 1}


def _none_rejected(pods: Objects) -> bool:
    return not any(map(rejection, pods))


def _deletion(events: Objects) -> list[str]:
    return [each["message"] for each in events if each["reason"] == "RejectedPodDeleted"]


async def _assigned(model: Model) -> Object:
    """Assign the next pod that waits for its scheduler to the node; return it once kubelet runs or rejects it."""

    def waiting(pods: Objects) -> Objects:
        return [pod for pod in pods if "nodeName" not in pod["spec"] and "deletionTimestamp" not in pod["metadata"]]

    def decided(pod: Object) -> bool:
        return bool(steady([pod]) or rejection(pod))

    namespace, kube = model.namespace, model.kube
    (node, *_) = await kube.list("Node")
    pods = await namespace.pods_until(model.pods_label, waiting, "a pod without a node")
    name = waiting(pods)[0]["metadata"]["name"]
    # watched before it is assigned: the operator may delete it as soon as kubelet rejects it
    deciding = asyncio.create_task(kube.until("Pod", name, namespace.name, decided, "kubelet decides"))
    await kube.bind(namespace.name, name, node["metadata"]["name"])
    return await deciding
