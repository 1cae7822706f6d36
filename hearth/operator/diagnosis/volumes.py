"""Volumes: which claim keeps a pod from being scheduled."""

from __future__ import annotations

import re

from hearth.operator.diagnosis.diagnosis import SEE_STATUS, Diagnosis
from hearth.operator.diagnosis.nodes import demand_of, supply
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.scheduler_message import insufficient
from hearth.planning import claim_name, identity, prewarm_name

_MISSING = re.compile(r'persistentvolumeclaim "([^"]+)" (?:not found|bound to non-existent)', re.IGNORECASE)
_UNBOUND = re.compile(
    r"unbound immediate PersistentVolumeClaims|available persistent volumes to bind|volume binding", re.IGNORECASE
)
_CONFLICT = re.compile(
    r"(\d+) node\(s\) (?:had volume node affinity conflict|didn't match PersistentVolume's node affinity"
    r"|had no available volume zone)",
    re.IGNORECASE,
)
"""Of nodes that fit in every other way: the scheduler checks volumes after labels, taints and resources."""


def volume_trouble(message: str, observed: Observed) -> Diagnosis | None:
    """Say which volume the scheduler's message is about; None when it is about something else."""
    missing = _MISSING.search(message)
    if missing:
        return _missing(missing.group(1), observed)
    if _UNBOUND.search(message):
        return _unbound(observed)
    conflict = _CONFLICT.search(message)
    return _conflict(int(conflict.group(1)), message, observed) if conflict else None


def _missing(claim: str, observed: Observed) -> Diagnosis:
    if observed.plan is not None and claim == claim_name(observed.service):
        return Diagnosis(Reason.CREATING, "the volume claim of the cache is being created", "waiting")
    return Diagnosis(
        Reason.VOLUME_MISSING,
        f"the volume claim {claim!r} does not exist; create it, or correct spec.model.source.uri",
        "broken",
        f"the volume is missing; {SEE_STATUS}",
    )


def _unbound(observed: Observed) -> Diagnosis:
    mounted = _mounted(observed)
    pending = [claim for claim in observed.claims if claim.status.phase != "Bound"]
    name = pending[0].metadata.name if pending else next(iter(mounted), "")
    subject = f"the volume claim {name!r} is not bound" if name else "a volume claim of the pod is not bound"
    storage_class = pending[0].spec.storage_class_name if pending else ""
    if pending and not storage_class:
        cause = ": it names no StorageClass and the cluster has no default one"
    elif pending:
        cause = f": StorageClass {storage_class!r} has not provisioned a volume for it"
    else:
        cause = ""
    return Diagnosis(
        Reason.VOLUME_NOT_BOUND,
        f"{subject}{cause}; set spec.cache.storageClassName to one of `kubectl get storageclass` (claims are immutable: "
        "delete it and Hearth recreates it), or spec.cache.strategy: HostPath",
        "broken",
        f"the volume is not provisioned yet; {SEE_STATUS}",
    )


def _mounted(observed: Observed) -> list[str]:
    """Return the volume claims that the engine mounts."""
    volumes = observed.plan.pod["spec"].get("volumes", ()) if observed.plan else ()
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def _conflict(conflicts: int, message: str, observed: Observed) -> Diagnosis:
    """Say that so many nodes have room for the pod and cannot use its volume, which belongs to another node or zone."""
    lasting = _is_lasting(conflicts, message, observed)
    claim = next(iter(_mounted(observed)), "")
    subject = f"claim {claim!r}" if claim else "a claim of the pod"
    nodes = "no node that could run the pod can" if lasting else "the nodes that have room for the pod cannot"
    return Diagnosis(
        Reason.VOLUME_NODE_CONFLICT,
        f"{nodes} use the volume of {subject}, which belongs to another node; "
        f"{_conflict_remedy(claim, observed, lasting=lasting)}",
        "broken" if lasting else "waiting",
        f"the nodes with room cannot use the volume; {SEE_STATUS}",
    )


def _is_lasting(conflicts: int, message: str, observed: Observed) -> bool:
    """Return whether no node could ever run the pod with this volume: none waits for something to become free."""
    plan, short = observed.plan, insufficient(message)
    device = demand_of(plan, short) if plan is not None else None
    if device is None or observed.nodes is None:
        return not short
    return conflicts >= supply(device, observed.nodes).suitable


def _conflict_remedy(claim: str, observed: Observed, *, lasting: bool) -> str:
    objects = observed.plan.objects if observed.plan is not None else ()
    if ("PersistentVolumeClaim", claim) not in map(identity, objects):
        return "make room on that node, or move the volume"
    if any(pod.spec.node_name and not pod.is_over for pod in observed.pods):
        return "all replicas share it: lower spec.scaling.max, or set spec.cache.strategy: HostPath"
    # The Job goes with the volume that it filled: while it is there, the weights count as downloaded.
    job = f" job/{prewarm_name(observed.service)}" if observed.service.spec.cache.prewarm else ""
    wait = "" if lasting else "the pod starts when there is room on that node, or "
    return (
        f"{wait}if the weights may be downloaded again, "
        f"`kubectl delete -n {observed.service.metadata.namespace} pvc/{claim}{job}` has it recreated where there is room"
    )
