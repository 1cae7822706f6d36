"""Rejection: a node that refuses a pod which was scheduled to it.

The kubelet checks a pod once more before it runs it, and rejects one that no longer fits: the node has less than the
scheduler believed, or its device plugin fails. The pod stays, in the phase Failed, and nothing deletes it; its ReplicaSet
creates another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hearth.operator.diagnosis.diagnosis import LOOP, SEE_STATUS, Diagnosis, Stage
from hearth.operator.diagnosis.program import Program
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact
from hearth.operator.objects import Pod

_OUT_OF = "OutOf"
"""The kubelet's reason begins so for every resource: OutOfcpu, OutOfpods, OutOfnvidia.com/gpu."""

_PREFIX = re.compile(r"^Pod was rejected(?: as|:) ")
_AMOUNTS = re.compile(r", requested: .*$", re.DOTALL)
"""What the node had at that moment; another attempt has other numbers."""

_FULL = (
    "another pod is scheduled; if nodes reject that one as well, compare what runs on the node with its allocatable "
    "resources (kubectl describe node)"
)
_REMEDIES: Mapping[Reason, str] = {
    Reason.OUT_OF_CPU: _FULL,
    Reason.OUT_OF_MEMORY: _FULL,
    Reason.OUT_OF_PODS: _FULL,
    Reason.POD_REJECTED: _FULL,
    Reason.UNEXPECTED_ADMISSION_ERROR: "another pod is scheduled; if nodes reject that one as well, restart the device "
    "plugin of the node: it lists devices that it cannot allocate",
    Reason.NODE_AFFINITY: "another pod is scheduled; restore the labels of the node that spec.accelerator of the runtime "
    "selects, or cordon the node",
    Reason.NODE_SHUTDOWN: "another pod is scheduled; it needs another node with room, until this one is back",
}


def is_rejected(pod: Pod) -> bool:
    """Return whether a node refused the pod, which therefore never runs."""
    status = pod.status
    if status.phase != "Failed":
        return False
    return status.reason.startswith(_OUT_OF) or status.reason in _REMEDIES or bool(_PREFIX.match(status.message))


def rejected(pod: Pod, program: Program, stage: Stage = "waiting") -> Diagnosis:
    """Say why a node refused a pod."""
    status = pod.status
    reason = Reason(status.reason) if status.reason in _REMEDIES else Reason.POD_REJECTED
    words = _AMOUNTS.sub("", _PREFIX.sub("", status.message))
    return Diagnosis(
        reason,
        f"a node rejected the pod of {program.name} ({redact(f'{status.reason}: {words}'.rstrip('.: '))}); "
        f"{_REMEDIES[reason]}",
        stage,
        f"a node rejected the pod; {SEE_STATUS}" if stage == "broken" else None,
    )


def superseded(pods: Iterable[Pod], desired: int) -> tuple[Pod, ...]:
    """Return the rejected pods that can be deleted: they say nothing that is still of use.

    While a replica is missing, the latest ones stay, because they are why; as many as it takes to see that nodes reject
    one pod after the other.
    """
    pods = tuple(pods)
    found = sorted(
        (pod for pod in pods if is_rejected(pod) and not pod.is_ending),
        key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name),
    )
    missing = sum(1 for pod in pods if pod.is_ready) < desired
    return tuple(found[:-LOOP] if missing else found)
