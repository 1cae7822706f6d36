"""What is kept of watched objects: a thousand services must fit into little memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.operator.kubernetes.kinds import CLAIM, DEPLOYMENT, JOB, SCALED_OBJECT, SERVICE, Kind

_POD_META = ("name", "namespace", "uid", "labels", "creationTimestamp", "deletionTimestamp", "ownerReferences")
_POD_STATUS = (
    "phase",
    "reason",
    "message",
    "conditions",
    "startTime",
    "initContainerStatuses",
    "containerStatuses",
)
_CONDITION = ("type", "status", "reason", "message")


def trimmed_view(kind: Kind, item: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the status functions look at, and the address of a Service; None for the other kinds.

    No more than that: whatever changes in it is a reason to look at the service again.
    """
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    if kind is SERVICE:
        return {"clusterIP": spec.get("clusterIP")}
    if kind is DEPLOYMENT:
        return {
            "metadata": _some(metadata, ("name", "namespace")),
            "spec": _some(spec, ("replicas",)),
            "status": {**_some(status, ("availableReplicas",)), **_conditions(status, "ReplicaFailure")},
        }
    if kind is SCALED_OBJECT:
        return {
            "metadata": _some(metadata, ("annotations",)),
            "status": {
                **_some(status, ("hpaName",)),
                # KEDA writes it whenever it looks; that it ever did is enough.
                **({"lastActiveTime": True} if "lastActiveTime" in status else {}),
                **_conditions(status, "Ready"),
            },
        }
    if kind is JOB:
        return {"metadata": _some(metadata, ("name", "annotations")), "status": dict(status)}
    if kind is CLAIM:
        return {
            "metadata": _some(metadata, ("name", "annotations")),
            "spec": _some(spec, ("storageClassName", "volumeName")),
            "status": dict(status),
        }
    return None


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


def _conditions(status: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The condition of one type, without its times."""
    found = [_some(each, _CONDITION) for each in status.get("conditions") or () if each.get("type") == kind]
    return {"conditions": found} if found else {}


def _some(mapping: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}
