"""Observations made on the spot: a service with its plan, and objects as the API server has them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from hearth.api import HearthError, LLMService
from hearth.operator.diagnosis.diagnosis import Diagnosis
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.replicas import replica_troubles
from hearth.operator.objects import Claim, Deployment, Job, Node, Pod, ScaledObject, read
from hearth.operator.status.service_status import service_status
from hearth.planning import Plan, PlanningError, make_plan
from hearth.plugins import PluginError
from hearth.plugins.errors import VendorUnavailable
from tests.planning.plans import runtime, service
from tests.support.vendors import host

FIXTURES = Path(__file__).parent / "fixtures"
NOW = datetime(2026, 11, 24, 1, 0, 0, tzinfo=UTC)
DEVICE = "hearth.dev/fake-accelerator"


def made(spec: Mapping[str, Any] | None = None, runtime_spec: Mapping[str, Any] | None = None, **metadata: Any) -> Plan:
    """Return a plan for a service of the cluster with `DEVICE`."""
    base = {"accelerator": {"resourceName": DEVICE}, **(runtime_spec or {})}
    metadata = {"generation": 3, "uid": "0b8f", **metadata}
    return make_plan(
        service(spec, **metadata), runtimes=[runtime(base, vendor="fake")], host=host("fake"), target="cluster"
    )


def observation(plan: Plan | None = None, **parts: Any) -> Observed:
    """All is well and asleep, but for what is given."""
    plan = plan or made()
    parts = {"deployment": deployment(0), "scaled_object": scaled_object(), "gateway": gateway(), **parts}
    parts = {"gateway_pods": (ready_pod("hearth-gateway-1"),), **parts}
    base: dict[str, Any] = {
        "service": plan.service,
        "plan": plan,
        "error": None,
        "pods": (),
        "prewarm": None,
        "prewarm_pods": (),
        "keda": True,
        "nodes": None,
        "now": NOW,
    }
    return Observed(**{**base, **read_parts(parts)})


TYPES: Mapping[str, Any] = {
    "deployment": Deployment,
    "pods": Pod,
    "prewarm": Job,
    "prewarm_pods": Pod,
    "scaled_object": ScaledObject,
    "gateway": Deployment,
    "gateway_pods": Pod,
    "nodes": Node,
    "claims": Claim,
}


def changed(observed: Observed, **parts: Any) -> Observed:
    """Return the observation, but for what is given."""
    return replace(observed, **read_parts(parts))


def read_parts(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Read what is given on the wire form."""
    return {name: read_part(TYPES[name], part) if name in TYPES else part for name, part in parts.items()}


def read_part(kind: Any, part: Any) -> Any:
    if part is None or isinstance(part, kind):
        return part
    return read(part, kind) if isinstance(part, Mapping) else tuple(read_part(kind, each) for each in part)


def again(observed: Observed, status: Mapping[str, Any], **parts: Any) -> Observed:
    """Return the next observation: the service has this status now."""
    wire = {**observed.service.to_wire(), "status": status}
    return changed(observed, service=LLMService.model_validate(wire), **parts)


def conditions(status: Mapping[str, Any]) -> dict[str, Any]:
    return {condition["type"]: condition for condition in status["conditions"]}


def seen(observed: Observed) -> tuple[str, dict[str, Any]]:
    """Return the phase and the conditions."""
    status = service_status(observed)
    return status["phase"], conditions(status)


def deployment(replicas: int | None, **status: Any) -> dict[str, Any]:
    spec = {} if replicas is None else {"replicas": replicas}
    return {"metadata": {"name": "tiny", "namespace": "ai"}, "spec": spec, "status": status}


def gateway(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "hearth-gateway", "namespace": "ai"},
        "spec": {"replicas": 1},
        "status": {"readyReplicas": 1, "availableReplicas": 1, **status},
    }


def scaled_object(
    ready: str | None = "True", reason: str = "ScaledObjectReady", message: str = "", **metadata: Any
) -> Any:
    status: dict[str, Any] = {"hpaName": "keda-hpa-tiny"}
    if ready is not None:
        status["conditions"] = [{"type": "Ready", "status": ready, "reason": reason, "message": message}]
    return {"metadata": {"name": "tiny", "namespace": "ai", **metadata}, "spec": {}, "status": status}


def pod(name: str = "tiny-1", *, node: str | None = "node-1", ending: bool = False, **status: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "ai"}
    if ending:
        metadata["deletionTimestamp"] = "2026-11-24T00:59:00Z"
    return {"metadata": metadata, "spec": {"nodeName": node} if node else {}, "status": status}


def ready_pod(name: str = "tiny-1", **more: Any) -> dict[str, Any]:
    return pod(
        name,
        phase="Running",
        conditions=[{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
        containerStatuses=[
            container(ready=True, started=True, state={"running": {"startedAt": "2026-11-24T00:50:00Z"}})
        ],
        **more,
    )


def container(name: str = "serving", **status: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": "engine:1",
        "ready": False,
        "restartCount": 0,
        "started": False,
        "state": {},
        **status,
    }


def with_container(name: str = "tiny-1", /, **status: Any) -> dict[str, Any]:
    """Return a pod on a node whose container has this status."""
    return pod(
        name,
        phase="Pending" if "waiting" in status.get("state", {}) else "Running",
        conditions=[{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
        containerStatuses=[container(**status)],
    )


def unscheduled(message: str, reason: str = "Unschedulable", name: str = "tiny-1") -> dict[str, Any]:
    return pod(
        name,
        node=None,
        phase="Pending",
        conditions=[{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}],
    )


def node(name: str = "node-1", devices: int | None = 4, labels: Any = None, **spec: Any) -> Node:
    amounts = {"cpu": "2", "memory": "8Gi", **({} if devices is None else {DEVICE: str(devices)})}
    metadata = {"name": name, "labels": labels or {}}
    return read({"metadata": metadata, "spec": spec, "status": {"allocatable": amounts}}, Node)


def ended(code: int, message: str = "", reason: str = "Error", ran: int = 5) -> dict[str, Any]:
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "message": message,
            "startedAt": "2026-11-24T00:40:00Z",
            "finishedAt": datetime.fromtimestamp(
                datetime(2026, 11, 24, 0, 40, tzinfo=UTC).timestamp() + ran, UTC
            ).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    }


def recorded(name: str) -> Any:
    """Return what was recorded from a real cluster (Kubernetes 1.34, containerd 1.6, KEDA 2.20.2)."""
    return copy.deepcopy(json.loads((FIXTURES / f"{name}.json").read_text()))


def moments(name: str) -> Sequence[Any]:
    """Return the states that one object of a real cluster went through, in their order."""
    found: Sequence[Any] = recorded(name)
    return found


LOADING = with_container(state={"running": {"startedAt": "2026-11-24T00:59:00Z"}})


def crash(name: str = "tiny-1", message: str = "KeyError: 'a'", restarts: int = 3) -> dict[str, Any]:
    return with_container(
        name,
        restartCount=restarts,
        state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        lastState=ended(1, message),
    )


def prewarming(**parts: Any) -> Observed:
    return observation(made({"cache": {"prewarm": True}}), **parts)


def job(kind: str | None = None, message: str = "") -> dict[str, Any]:
    status: dict[str, Any] = (
        {"active": 1} if kind is None else {"conditions": [{"type": kind, "status": "True", "message": message}]}
    )
    return {"metadata": {"name": "tiny-prewarm"}, "status": status}


NO_DEVICE = (
    "0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator. no new claims to deallocate, preemption: x"
)


HALF = made({"resources": {"accelerators": 2}})


def trouble(*pods: Any, **parts: Any) -> Diagnosis:
    """Return the worst of what the replicas wait for."""
    parts.setdefault("deployment", deployment(max(len(pods), 1)))
    return replica_troubles(observation(pods=pods, **parts))[0]


ERRORS: list[tuple[HearthError, str]] = [
    (
        PlanningError("UnknownModelScheme", "spec.model.source.uri: 'x' has no scheme", "use hf://"),
        "UnknownModelScheme",
    ),
    (PluginError(vendor="v", distribution="d", version="1", hook="h", problem="p"), "PluginFailed"),
    (VendorUnavailable("v", "no plugin serves 'v'", "pip install hearth-v"), "UnsupportedVendor"),
    (HearthError("it is broken", "mend it"), "InvalidService"),
]


PODS = [
    ready_pod(),
    {**ready_pod("tiny-9"), "metadata": {"name": "tiny-9", "deletionTimestamp": "2026-11-24T00:59:00Z"}},
    LOADING,
    crash(),
    crash("tiny-5", "torch.OutOfMemoryError: CUDA out of memory.", 1),
    pod("tiny-6", node=None, phase="Pending"),
    pod(
        "tiny-11", phase="Failed", reason="OutOfcpu", message="Pod was rejected: Node didn't have enough resource: cpu"
    ),
    pod("tiny-7", phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
    with_container("tiny-8", state={"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}),
    with_container(
        "tiny-3", state={"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}}
    ),
    unscheduled("0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator.", name="tiny-4"),
    unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", name="tiny-2"),
    unscheduled("0/1 nodes are available: 1 node(s) had volume node affinity conflict.", name="tiny-10"),
    {"metadata": {}},
    {"metadata": {}, "status": {"conditions": None, "containerStatuses": None}},
]


PLANS = [
    made(),
    made({"cache": {"prewarm": True}, "endpoint": {"coldStart": {"mode": "reject"}}}),
    made({"scaling": {"min": 1, "max": 3}, "cache": {"strategy": "None"}}),
]


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    plan = draw(st.sampled_from(PLANS))
    error = draw(st.sampled_from([None, None, None, *(error for error, _ in ERRORS)]))
    observed = observation(
        plan,
        error=error,
        deployment=draw(st.sampled_from([None, deployment(None), deployment(0), deployment(1), deployment(3)])),
        pods=draw(st.lists(st.sampled_from(PODS), max_size=4)),
        prewarm=draw(st.sampled_from([None, job(), job("Complete"), job("Failed", "limit")])),
        prewarm_pods=draw(st.lists(st.sampled_from(PODS), max_size=2)),
        scaled_object=draw(
            st.sampled_from(
                [
                    None,
                    scaled_object(),
                    scaled_object("False", "TriggerError", "m"),
                    scaled_object(annotations={"autoscaling.keda.sh/paused": ""}),
                ]
            )
        ),
        keda=draw(st.booleans()),
        gateway=draw(st.sampled_from([None, gateway(), gateway(readyReplicas=0, availableReplicas=0)])),
        gateway_pods=draw(st.lists(st.sampled_from(PODS), max_size=2)),
        nodes=draw(st.sampled_from([None, [], [node()], [node(devices=None), node(devices=1, unschedulable=True)]])),
    )
    return changed(observed, plan=None) if error is not None and draw(st.booleans()) else observed
