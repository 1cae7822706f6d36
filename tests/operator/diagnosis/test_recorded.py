"""What a real cluster showed: Kubernetes 1.34, containerd 1.6 and KEDA 2.20.2, moment by moment.

`fixtures/` was recorded by watching Deployments that fail in these ways, and trimmed as the operator's cache trims.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hearth.operator.status.notice import waiting_notice
from tests.operator.observations import deployment, made, moments, observation, recorded, seen

LIMITED = made({"resources": {"memory": "64Mi"}})
FIVE = made({"resources": {"accelerators": 5}})
PICKY = made(None, {"accelerator": {"resourceName": "hearth.dev/fake-accelerator", "nodeSelector": {"zone": "a"}}})
IMPATIENT = made(
    None,
    {
        "accelerator": {"resourceName": "hearth.dev/fake-accelerator"},
        "health": {
            "startup": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 2, "failureThreshold": 5}
        },
    },
)
ABSENT = made(None, {"accelerator": {"resourceName": "nvidia.com/gpu"}})
STORED = made({"model": {"source": {"uri": "pvc://weights"}}})
LOGS = "`kubectl logs -n ai deployment/tiny -c serving --previous`"

LAST: list[tuple[str, Any, str, str, str]] = [
    ("no_device", ABSENT, "Degraded", "NoAccelerator", "no node of the cluster has nvidia.com/gpu; install the device"),
    ("too_few_devices", FIVE, "Degraded", "NodeTooSmall", "a replica requests 5 hearth.dev/fake-accelerator and the "
     "largest node has 4; lower spec.resources.accelerators"),
    ("too_few_devices", None, "Pending", "InsufficientAccelerators", "all 4 hearth.dev/fake-accelerator are in use; "
     "the pod starts as soon as enough are free"),
    ("selector", PICKY, "Degraded", "NodesExcluded", "1 node has enough hearth.dev/fake-accelerator but may not run the "
     "pod: 1 without the label zone=a; change"),
    ("memory_request", None, "Pending", "InsufficientResources", "no node has room for the pod: too little memory free (0/1 "
     "nodes are available: 1 Insufficient memory); lower spec.resources.memory, or add a node"),
    ("claim_unbound", None, "Degraded", "VolumeNotBound", "the volume claim 'tiny-cache' is not bound: it names no "
     "StorageClass and the cluster has no default one; set spec.cache.storageClassName"),
    ("claim_missing", STORED, "Degraded", "VolumeMissing", "the volume claim 'weights' does not exist; create it"),
    ("image_unreachable", None, "Degraded", "ImagePullBackOff", "the image registry.example/engine:1 of the engine cannot be "
     'pulled: failed to do request: Head "https://registry.example/v2/engine/manifests/1": dial tcp: lookup '
     "registry.example on 10.96.0.10:53: no such host; the nodes cannot reach its registry"),
    ("image_denied", None, "Degraded", "ImagePullBackOff", "the image localhost:5999/private/engine:1 of the engine cannot be "
     "pulled: pulling from host localhost:5999 failed with status code [manifests 1]: 401 Unauthorized; its registry "
     "requires a pull secret: list it in spec.imagePullSecrets"),
    ("image_unknown", None, "Degraded", "ImagePullBackOff", "the image localhost:5999/public/engine:1 of the engine cannot be "
     "pulled: not found; check its name and tag"),
    ("image_invalid", None, "Degraded", "InvalidImageName", "the image Not/Valid::1 of the engine cannot be pulled: Failed to "
     "apply default image tag"),
    ("image_never", None, "Degraded", "ErrImageNeverPull", "the image registry.example/engine:1 of the engine cannot be pulled: "
     'Container image "registry.example/engine:1" is not present with pull policy of Never; load the image onto the node'),
    ("missing_secret", None, "Degraded", "CreateContainerConfigError", 'the container of the engine cannot be configured: secret '
     '"hf-token" not found; create what is missing'),
    ("command", None, "Degraded", "RunContainerError", 'the container of the engine cannot be started: exec: '
     '"no-such-engine": executable file not found in $PATH: unknown; check command'),
    ("oom", LIMITED, "Degraded", "OOMKilled", "the engine was OOM-killed (memory limit 64Mi); raise "
     "spec.resources.memory"),
    ("crash", None, "Degraded", "CrashLoopBackOff", "the engine keeps crashing (exit code 1): ValueError: rope_scaling must have "
     f"a factor of at least 1; see {LOGS}"),
    ("cuda", None, "Degraded", "DeviceMemoryExhausted", "the engine keeps crashing (exit code 1): torch.OutOfMemoryError: CUDA "
     "out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB; the model does not fit"),
    ("startup", IMPATIENT, "Degraded", "StartupTimeout", "the engine did not pass its startup probe within 10s and was killed: "
     "Loading shard 3 of 9; raise spec.health.startup.failureThreshold of runtime vllm-fake if it only needs longer"),
    ("not_answering", None, "Loading", "ContainersNotReady", "the engine is running and has not passed its readiness probe "
     "yet; if that lasts, see `kubectl logs -n ai deployment/tiny -c serving"),
    ("ready", None, "Ready", "Available", "a replica is ready: requests are answered at once"),
]  # fmt: skip


def at(plan: Any, *pods: Any) -> Any:
    return observation(plan, deployment=deployment(1), pods=pods, nodes=[recorded("node")], claims=[recorded("claim")])


@pytest.mark.parametrize(("case", "plan", "phase", "reason", "message"), LAST, ids=[f"{c[0]}-{c[3]}" for c in LAST])
def test_what_is_said_in_the_end(case: str, plan: Any, phase: str, reason: str, message: str) -> None:
    found, conditions = seen(at(plan, moments(case)[-1]))
    assert (found, conditions["Ready"]["reason"]) == (phase, reason)
    assert conditions["Ready"]["message"].startswith(message)


@pytest.mark.parametrize(
    "case", ["oom", "crash", "cuda", "startup", "command", "image_denied", "image_unknown", "image_unreachable"]
)
def test_once_it_is_broken_every_moment_says_the_same(case: str) -> None:
    plan = {"oom": LIMITED, "startup": IMPATIENT}.get(case)
    told = [seen(at(plan, _unready(moment))) for moment in moments(case)]
    ready = [(phase, conditions["Ready"]["message"]) for phase, conditions in told]
    first = next(number for number, (phase, _) in enumerate(ready) if phase == "Degraded")
    assert len(ready) - first > 1
    assert len(set(ready[first:])) == 1


def _unready(moment: Any) -> Any:
    """Make the containers unready: they had no probes, so that they were ready while they ran; an engine has them."""
    moment = copy.deepcopy(moment)
    for condition in moment["status"].get("conditions", ()):
        if condition["type"] == "Ready":
            condition["status"] = "False"
    for container in moment["status"].get("containerStatuses", ()):
        container |= {"ready": False, "started": False}
    return moment


def test_pods_that_their_node_ends_one_after_the_other() -> None:
    """Each has its place taken by another one, which starts as if nothing had been."""
    last: dict[str, Any] = {}
    told: list[str] = []
    for moment in moments("evicted"):
        last[moment["metadata"]["name"]] = _unready(moment)
        told.append(seen(at(None, *last.values()))[1]["Ready"]["reason"])
    assert len(last) > 2
    assert "Evicted" in told
    looping = told[next(n for n in range(len(told)) if told[n] == "Evicted" and len({*told[n:]}) == 1) :]
    assert len(looping) > 2
    message = seen(at(None, *last.values()))[1]["Ready"]["message"]
    assert "Evicted: Pod ephemeral local storage usage exceeds the total limit of containers 10Mi." in message


def test_pods_that_their_node_ended_long_ago_are_no_loop() -> None:
    last = {moment["metadata"]["name"]: _unready(moment) for moment in moments("evicted")}
    old = [pod for pod in last.values() if pod["status"]["phase"] == "Failed"]
    assert len(old) >= 2
    new = _unready(moments("not_answering")[-2])
    new["metadata"]["creationTimestamp"] = "2026-12-01T00:00:00Z"
    assert seen(at(None, *old, new))[0] in ("Loading", "Pending")


def test_a_quota_that_refuses_the_pods() -> None:
    phase, conditions = seen(observation(deployment=recorded("quota")))
    assert (phase, conditions["Ready"]["reason"]) == ("Degraded", "FailedCreate")
    assert conditions["Ready"]["message"].startswith(
        "the pods of Deployment tiny cannot be created: exceeded quota: few, requested: requests.huawei.com/Ascend910=1, used: "
        "requests.huawei.com/Ascend910=0, limited: requests.huawei.com/Ascend910=0; change what rejects them"
    )


def test_a_download_that_failed() -> None:
    plan = made({"cache": {"prewarm": True}})
    pods = {moment["metadata"]["name"]: moment for moment in moments("prewarm")}
    _, conditions = seen(observation(plan, prewarm=recorded("job_failed"), prewarm_pods=list(pods.values())))
    assert conditions["Prewarmed"]["reason"] == "PrewarmFailed"
    assert conditions["Prewarmed"]["message"].startswith(
        "prewarming failed: the download exited (exit code 1): OSError: [Errno 28] No space left on "
        "device; raise spec.cache.size"
    )


def test_scaled_objects() -> None:
    phase, conditions = seen(observation(scaled_object=recorded("scaled_object_ready")))
    assert (phase, conditions["Scaled"]["status"]) == ("ScaledToZero", "True")
    phase, conditions = seen(observation(scaled_object=recorded("scaled_object_unheard")))
    assert (phase, conditions["Ready"]["reason"]) == ("Pending", "ScaledObjectNotReady")
    assert (
        "no metric specs returned from scalers for ScaledObject ai/tiny; KEDA retries" in conditions["Ready"]["message"]
    )
    phase, conditions = seen(observation(scaled_object=recorded("scaled_object_paused")))
    assert (phase, conditions["Ready"]["reason"]) == ("Degraded", "ScaledObjectPaused")


@pytest.mark.parametrize("case", sorted({case[0] for case in LAST}))
def test_no_moment_tells_a_client_what_is_not_its_business(case: str) -> None:
    for moment in moments(case):
        notice = waiting_notice(at(None, moment)) or ""
        for private in ("node-1", "registry", "localhost", "hf-token", "weights", "rope", "engine:1"):
            assert private not in notice
