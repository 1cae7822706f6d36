"""What is kept of watched objects: a thousand services must fit into little memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.operator.kinds import CLAIM, DEPLOYMENT, JOB, SCALED_OBJECT, SERVICE, Kind

_POD_META = ("name", "namespace", "uid", "labels", "creationTimestamp", "deletionTimestamp", "ownerReferences")
_META = ("name", "namespace", "uid", "generation", "labels", "annotations", "creationTimestamp", "deletionTimestamp")
_POD_STATUS = (
    "phase",
    "reason",
    "message",
    "conditions",
    "startTime",
    "initContainerStatuses",
    "containerStatuses",
)
_WITH_VIEW = frozenset({DEPLOYMENT, JOB, SCALED_OBJECT, CLAIM})


def trimmed_view(kind: Kind, item: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the status functions look at, and the address of a Service; None for the other kinds."""
    if kind is SERVICE:
        return {"clusterIP": (item.get("spec") or {}).get("clusterIP")}
    if kind not in _WITH_VIEW:
        return None
    view: dict[str, Any] = {
        "metadata": _some(item["metadata"], _META),
        "status": dict(item.get("status") or {}),
    }
    spec = item.get("spec") or {}
    if kind is DEPLOYMENT:
        view["spec"] = _some(spec, ("replicas", "paused"))
    elif kind is SCALED_OBJECT:
        view["spec"] = _some(spec, ("minReplicaCount", "maxReplicaCount"))
        view["status"].pop("health", None)
        if "lastActiveTime" in view["status"]:
            view["status"]["lastActiveTime"] = True  # KEDA writes it whenever it looks; that it ever did is enough
    elif kind is CLAIM:
        view["spec"] = _some(spec, ("storageClassName", "volumeName", "resources"))
    elif kind is JOB:
        view["spec"] = _some(spec, ("backoffLimit", "suspend"))
    return view


def trimmed_pod(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata, status and node of a pod, and what its containers ask for."""
    spec = pod.get("spec") or {}
    kept = _some(spec, ("nodeName", "nodeSelector", "schedulingGates"))
    kept["containers"] = [_some(container, ("name", "image", "resources")) for container in spec.get("containers", ())]
    return {
        "metadata": _some(pod["metadata"], _POD_META),
        "spec": kept,
        "status": _some(pod.get("status") or {}, _POD_STATUS),
    }


def trimmed_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """Name, labels, taints and allocatable devices of a node."""
    return {
        "metadata": _some(node["metadata"], ("name", "labels")),
        "spec": _some(node.get("spec") or {}, ("taints", "unschedulable")),
        "status": _some(node.get("status") or {}, ("allocatable", "conditions")),
    }


def _some(mapping: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}
