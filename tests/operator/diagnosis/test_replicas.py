"""What is wrong, in words with a cause and a remedy; the objects under `fixtures/` are a real cluster's."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.diagnosis.diagnosis import Diagnosis
from hearth.operator.diagnosis.replicas import replica_troubles
from hearth.operator.status.conditions import waiting_notice
from tests.operator.observations import (
    changed,
    deployment,
    ended,
    made,
    node,
    observation,
    pod,
    ready_pod,
    seen,
    unscheduled,
    with_container,
)

NO_DEVICE = (
    "0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator. no new claims to deallocate, preemption: x"
)
CONFLICTS = ("had volume node affinity conflict", "didn't match PersistentVolume's node affinity")
"""The words of older and of newer schedulers."""

HALF = made({"resources": {"accelerators": 2}})


def trouble(*pods: Any, **parts: Any) -> Diagnosis:
    """The worst of what the replicas wait for."""
    parts.setdefault("deployment", deployment(max(len(pods), 1)))
    return replica_troubles(observation(pods=pods, **parts))[0]


# --- nodes ------------------------------------------------------------------------------------------------------------------


def test_no_node_has_the_device() -> None:
    found = trouble(unscheduled(NO_DEVICE), nodes=[node(devices=None), node(devices=0)])
    assert (found.reason, found.stage) == ("NoAccelerator", "broken")
    assert found.message == (
        "no node of the cluster has hearth.dev/fake-accelerator; install the device plugin of Fake or add such a node, or "
        "choose another runtime (spec.runtime)"
    )
    assert found.notice == "no node of the cluster has the accelerator that it needs"


def test_all_devices_are_taken_and_by_whom() -> None:
    found = trouble(
        unscheduled(NO_DEVICE.replace("1", "3")),
        nodes=[node(devices=4), node(devices=2), node(devices=None)],
        holders={"ai/older": 2, "ai/idle": 0, "others/private-name": 1},
    )
    assert (found.reason, found.stage) == ("InsufficientAccelerators", "waiting")
    assert found.message == (
        "all 6 hearth.dev/fake-accelerator are in use (2 by LLMService older, 1 by others); it starts as soon as enough is "
        "free: let another service sleep (lower its spec.scaling.min or max), or add some"
    )
    assert found.notice == "all accelerators of the cluster are in use; it starts as soon as one is free"


def test_devices_held_by_the_service_itself() -> None:
    ending = {**ready_pod("tiny-0"), "metadata": {"name": "tiny-0", "deletionTimestamp": "2026-11-24T00:59:00Z"}}
    found = trouble(
        ready_pod(), ending, unscheduled(NO_DEVICE, name="tiny-2"), nodes=[node(devices=2)], deployment=deployment(2)
    )
    assert "(1 by this service, 1 by replicas of it that are ending)" in found.message


def test_devices_that_are_free_but_not_together() -> None:
    full = unscheduled(NO_DEVICE.replace("1", "2"))
    found = trouble(full, plan=HALF, service=HALF.service, nodes=[node(devices=2), node(devices=2)])
    assert found.message.startswith("no node has 2 of the 4 hearth.dev/fake-accelerator free; ")


def test_devices_that_only_nodes_without_them_lack() -> None:
    """Two nodes have no device at all, and the one that has idle ones is short of memory."""
    words = "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient hearth.dev/fake-accelerator. preemption: x"
    found = trouble(unscheduled(words), nodes=[node(devices=8), node(devices=None), node(devices=0)])
    assert (found.reason, found.stage) == ("InsufficientResources", "waiting")
    assert found.message == (
        "no node has room for it: too little memory free (0/3 nodes are available: 1 Insufficient memory, 2 Insufficient "
        "hearth.dev/fake-accelerator); lower spec.resources.memory, or add a node"
    )
    assert found.notice == "no node of the cluster has room for it"


def test_devices_that_only_some_of_their_nodes_lack() -> None:
    words = "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient hearth.dev/fake-accelerator. preemption: x"
    found = trouble(unscheduled(words), nodes=[node(devices=8), node(devices=4), node(devices=None)])
    assert (found.reason, found.stage) == ("InsufficientResources", "waiting")
    assert found.message.startswith(
        "no node has room for it: too little memory and hearth.dev/fake-accelerator free (0/3 "
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
    assert found.message.startswith("no node has room for it: too little hearth.dev/fake-accelerator free (0/2 ")
    assert found.notice == "no node of the cluster has room for it"


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
        "no node that could run it can use the volume of its claim 'tiny-cache', which belongs to another node; if the "
        "weights may be downloaded again, `kubectl delete -n ai pvc/tiny-cache` has it made anew where there is room"
    )
    assert (
        found.notice
        == "its volume is out of reach of the nodes that could run it; its owner finds the reason in its status"
    )


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_a_volume_on_a_node_that_is_full(conflict: str) -> None:
    plan = made({"cache": {"prewarm": True}})
    words = f"0/2 nodes are available: 1 Insufficient hearth.dev/fake-accelerator, 1 node(s) {conflict}. preemption: x"
    found = trouble(unscheduled(words), plan=plan, nodes=[node(devices=8), node(devices=8)])
    assert (found.reason, found.stage) == ("VolumeNodeConflict", "waiting")
    assert found.message == (
        "the nodes that have room for it cannot use the volume of its claim 'tiny-cache', which belongs to another node; it "
        "starts when there is room on that one, or if the weights may be downloaded again, `kubectl delete -n ai "
        "pvc/tiny-cache job/tiny-prewarm` has it made anew where there is room"
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
            assert (
                f"its claim '{claim}', which belongs to another node; make room on that one, or move" in found.message
            )
            assert "delete" not in found.message


def test_more_devices_than_any_node_has() -> None:
    found = trouble(unscheduled(NO_DEVICE), plan=HALF, nodes=[node(devices=1), node(devices=1)])
    assert (found.reason, found.stage) == ("NodeTooSmall", "broken")
    assert found.message.startswith(
        "a replica asks for 2 hearth.dev/fake-accelerator and the largest node has 1; lower "
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
        "3 nodes have enough hearth.dev/fake-accelerator and none may take the pod: 2 without the label zone=a, 1 with the "
        "taint gpu=own:NoSchedule; change those nodes, or spec.accelerator.nodeSelector and tolerations of runtime"
    )


def test_a_device_that_only_the_scheduler_knows() -> None:
    """A scheduler's extender may count what no node announces; the nodes then say nothing about it."""
    found = trouble(unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpumem."), nodes=[node()])
    assert (found.reason, found.stage) == ("InsufficientAccelerators", "waiting")
    assert found.message.startswith(
        "no node has room for it: too little nvidia.com/gpumem free (0/1 nodes are available: "
    )


def test_nobody_looked_at_the_nodes() -> None:
    found = trouble(unscheduled(NO_DEVICE), nodes=None)
    assert found.message.startswith("no node has room for it: too little hearth.dev/fake-accelerator free (0/1 ")


def test_too_little_memory() -> None:
    found = trouble(
        unscheduled("0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory. preemption: x"), nodes=[node()]
    )
    assert (found.reason, found.stage) == ("InsufficientResources", "waiting")
    assert "lower spec.resources.cpu and spec.resources.memory, or add a node" in found.message


def test_words_that_are_not_known_are_quoted() -> None:
    found = trouble(unscheduled("0/1 nodes are available: 1 Too many pods. preemption: x"), nodes=[node()])
    assert (found.reason, found.stage) == ("Unschedulable", "broken")
    assert "no node takes its pod: 0/1 nodes are available: 1 Too many pods; " in found.message


def test_a_scheduling_gate() -> None:
    found = trouble(unscheduled("Scheduling is blocked due to non-empty scheduling gates", "SchedulingGated"))
    assert (found.reason, found.stage) == ("SchedulingGated", "waiting")


def claim(name: str = "tiny-cache", phase: str = "Pending", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ((), "its volume claim 'tiny-cache' is not bound; "),
        (
            (claim(),),
            "its volume claim 'tiny-cache' is not bound: it names no StorageClass and the cluster has no default one; ",
        ),
        ((claim(phase="Bound"),), "its volume claim 'tiny-cache' is not bound; "),
        (
            (claim(storageClassName="fast"),),
            "its volume claim 'tiny-cache' is not bound: StorageClass 'fast' has not made a volume for it; ",
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
    assert found.message == "its volume claim 'weights' does not exist; create it, or correct spec.model.source.uri"


def test_the_cluster_refuses_the_pods() -> None:
    def refused(name: str, words: str) -> Any:
        message = f'pods "{name}" is forbidden: {words}'
        condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
        return deployment(1, conditions=[condition])

    quota = "exceeded quota: few, requested: requests.hearth.dev/fake-accelerator=1, used: 2, limited: 2"
    found = trouble(deployment=refused("tiny-6c9d-abcde", quota))
    assert (found.reason, found.stage) == ("FailedCreate", "broken")
    assert found.message.startswith(f"the cluster refuses to create its pods: {quota}; ")
    assert found == trouble(deployment=refused("tiny-6c9d-zzzzz", quota)), "every attempt has another name"
    security = 'violates PodSecurity "restricted:latest": runAsNonRoot != true'
    assert "serve the model from a namespace that allows it" in trouble(deployment=refused("a", security)).message


# --- images and configuration -------------------------------------------------------------------------------------------------


def pull(message: str, reason: str = "ErrImagePull", image: str = "registry.example/engine:1") -> Diagnosis:
    return trouble(with_container(image=image, state={"waiting": {"reason": reason, "message": message}}))


@pytest.mark.parametrize(
    ("message", "words", "remedy"),
    [
        (
            'failed to pull and unpack image "registry.example/engine:1": failed to resolve reference '
            '"registry.example/engine:1": registry.example/engine:1: not found',
            "not found",
            "check its name and tag",
        ),
        (
            'failed to resolve reference "registry.example/engine:1": failed to authorize: 401 Unauthorized',
            "failed to authorize: 401 Unauthorized",
            "its registry wants a pull secret: list it in spec.imagePullSecrets",
        ),
        (
            'failed to resolve reference "registry.example/engine:1": failed to do request: Head "https://registry.example": '
            "dial tcp: lookup registry.example on 10.0.0.10:53: read udp 10.0.0.1:45233->10.0.0.10:53: i/o timeout",
            'failed to do request: Head "https://registry.example": dial tcp: lookup registry.example on 10.0.0.10:53: read udp '
            "10.0.0.1->10.0.0.10:53: i/o timeout",
            "the nodes cannot reach its registry",
        ),
    ],
)
def test_an_image_that_cannot_be_pulled(message: str, words: str, remedy: str) -> None:
    found = pull(message)
    assert (found.reason, found.stage) == ("ImagePullBackOff", "broken")
    assert found.message.startswith(
        f"the image registry.example/engine:1 of the engine cannot be pulled: {words}; {remedy}"
    )
    assert found.notice == "its container image cannot be pulled"
    assert (
        pull(f'Back-off pulling image "registry.example/engine:1": ErrImagePull: {message}', "ImagePullBackOff")
        == found
    )


def test_a_pull_that_waits_without_words() -> None:
    assert (
        "cannot be pulled: ImagePullBackOff; "
        in pull('Back-off pulling image "registry.example/engine:1"', "ImagePullBackOff").message
    )
    assert "correct spec.container.image" in pull("couldn't parse image name", "InvalidImageName").message
    assert (
        "load the image onto the node"
        in pull("image is not present with pull policy of Never", "ErrImageNeverPull").message
    )


@pytest.mark.parametrize(
    "message",
    ['secret "hf-token" not found', 'configmap "settings" not found', "couldn't find key token in Secret ai/hf-token"],
)
def test_configuration_that_is_missing(message: str) -> None:
    found = trouble(with_container(state={"waiting": {"reason": "CreateContainerConfigError", "message": message}}))
    assert (found.reason, found.stage) == ("CreateContainerConfigError", "broken")
    assert found.message == (
        f"the engine cannot be configured: {message}; create what is missing, or correct the env of the runtime"
    )
    assert found.notice is not None
    assert "hf-token" not in found.notice


def test_a_command_that_does_not_exist() -> None:
    message = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to "
        'start container process: exec: "vllm": executable file not found in $PATH: unknown'
    )
    first = trouble(with_container(state={"waiting": {"reason": "RunContainerError", "message": message}}))
    then = trouble(
        with_container(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended(128, message, "StartError"))
    )
    assert first == then
    assert (first.reason, first.stage) == ("RunContainerError", "broken")
    assert (
        'cannot be started: exec: "vllm": executable file not found in $PATH: unknown; check command' in first.message
    )


# --- ends -----------------------------------------------------------------------------------------------------------------


def test_killed_for_memory() -> None:
    limited = made({"resources": {"memory": "512Mi"}})
    killed = with_container(restartCount=1, state={"running": {}}, lastState=ended(137, "", "OOMKilled"))
    found = trouble(killed, plan=limited)
    assert (found.reason, found.stage) == ("OOMKilled", "starting")
    assert found.message == "the engine was killed for memory at its memory limit of 512Mi; raise spec.resources.memory"
    again = with_container(restartCount=2, state={"running": {}}, lastState=ended(137, "", "OOMKilled"))
    found = trouble(again, plan=limited)
    assert (found.reason, found.stage) == ("OOMKilled", "broken")
    assert found.notice == "it runs out of memory and is started again"
    assert "set spec.resources.memory" in trouble(killed).message


def test_the_first_crash_and_the_loop() -> None:
    message = "Traceback (most recent call last):\n  File 'x'\nValueError: no such model: x\n"
    first = trouble(with_container(restartCount=1, state={"running": {}}, lastState=ended(1, message)))
    assert (first.reason, first.stage, first.notice) == ("Restarting", "starting", None)
    assert first.message == (
        "the engine ended with exit code 1: ValueError: no such model: x; it is started again; see `kubectl logs -n ai "
        "deployment/tiny -c serving --previous`"
    )
    loop = trouble(with_container(restartCount=5, state={"running": {}}, lastState=ended(1, message)))
    assert (loop.reason, loop.stage) == ("CrashLoopBackOff", "broken")
    assert loop.message.startswith(
        "the engine keeps ending with exit code 1: ValueError: no such model: x; see `kubectl logs"
    )


def test_an_end_counts_before_the_restart_does() -> None:
    """The kubelet raises the count when it starts the container again."""
    first = trouble(with_container(restartCount=0, state=ended(1, "KeyError: 'a'")))
    second = trouble(with_container(restartCount=1, state=ended(1, "KeyError: 'a'")))
    assert (first.reason, second.reason) == ("Restarting", "CrashLoopBackOff")


def test_every_moment_of_a_crash_loop_says_the_same() -> None:
    looks = [
        {
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": f"back-off {seconds}s"}},
            "lastState": ended(1, "KeyError: 'a'"),
        }
        for seconds in (20, 40, 300)
    ]
    looks += [
        {"state": {"running": {"startedAt": "2026-11-24T00:59:00Z"}}, "lastState": ended(1, "KeyError: 'a'")},
        {"state": ended(1, "KeyError: 'a'"), "lastState": ended(1, "KeyError: 'a'")},
    ]
    found = {trouble(with_container(restartCount=count, **look)) for count in (2, 3, 17) for look in looks}
    assert len(found) == 1


def test_a_crash_after_a_long_life_is_no_loop() -> None:
    found = trouble(
        with_container(restartCount=7, state={"running": {}}, lastState=ended(1, "KeyError: 'a'", ran=3600))
    )
    assert (found.reason, found.stage) == ("Restarting", "starting")


def test_a_known_cause_names_the_remedy() -> None:
    message = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    found = trouble(with_container(restartCount=3, state={"running": {}}, lastState=ended(1, message)))
    assert (found.reason, found.stage) == ("DeviceMemoryExhausted", "broken")
    assert message in found.message
    assert "lower --max-model-len" in found.message
    assert "OutOfMemoryError" not in (found.notice or "")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (139, "by a segmentation fault"),
        (137, "by SIGKILL"),
        (134, "by signal 6"),
        (3, "with exit code 3"),
        (0, "with exit code 0"),
    ],
)
def test_how_it_ended(code: int, words: str) -> None:
    found = trouble(with_container(restartCount=4, state={"running": {}}, lastState=ended(code)))
    assert found.message.startswith(f"the engine keeps ending {words}; its log says why: `kubectl logs")


def test_a_start_that_takes_longer_than_its_probe_allows() -> None:
    """600 s here; the kubelet ends it then, and says no word about the probe in the container's state."""
    slow = with_container(restartCount=2, state={"running": {}}, lastState=ended(137, "Loading shard 3 of 9", ran=612))
    found = trouble(slow)
    assert (found.reason, found.stage) == ("StartupTimeout", "broken")
    assert found.message.startswith(
        "the engine did not answer its startup probe within 10m0s and was ended: Loading shard 3 of 9; "
    )
    assert "raise spec.health.startup.failureThreshold of runtime vllm-fake" in found.message
    for other in (
        ended(1, "", ran=612),
        ended(137, "", ran=30),
        ended(137, "", ran=90000),
        ended(137, "", "OOMKilled", ran=612),
    ):
        assert (
            trouble(with_container(restartCount=2, state={"running": {}}, lastState=other)).reason != "StartupTimeout"
        )


def test_a_node_that_ended_the_pod() -> None:
    evicted = pod(phase="Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage.")
    found = trouble(evicted)
    assert (found.reason, found.stage) == ("Evicted", "broken")
    assert "Evicted: The node was low on resource: ephemeral-storage." in found.message
    assert trouble(evicted, unscheduled(NO_DEVICE), deployment=deployment(1)).reason == "InsufficientAccelerators"


def test_times_that_cannot_be_read_do_no_harm() -> None:
    for start, end in (("x", "y"), (None, "2026-11-24T00:40:00Z"), ("2026-11-24T00:40:00", "2026-11-24T00:40:00Z")):
        last = {"terminated": {"exitCode": 1, "startedAt": start, "finishedAt": end}}
        assert (
            trouble(with_container(restartCount=2, state={"running": {}}, lastState=last)).reason == "CrashLoopBackOff"
        )


def test_a_sidecar_that_fails_is_named_by_its_own_words() -> None:
    both = with_container(ready=True, started=True, state={"running": {}})
    both["status"]["containerStatuses"].append(
        {"name": "proxy", "image": "proxy:1", "ready": False, "restartCount": 0,
         "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    )  # fmt: skip
    assert "the image proxy:1" in trouble(both).message


def test_the_waiting_client_is_told_what_it_may_know() -> None:
    look = observation(deployment=deployment(1), nodes=[node(devices=1)], holders={"ai/other": 1})
    assert waiting_notice(look) is None
    assert waiting_notice(changed(look, pods=[unscheduled(NO_DEVICE)])) == (
        "all accelerators of the cluster are in use; it starts as soon as one is free"
    )
    assert waiting_notice(changed(look, pods=[ready_pod()])) is None
    assert seen(changed(look, pods=[unscheduled(NO_DEVICE)]))[0] == "Pending"
