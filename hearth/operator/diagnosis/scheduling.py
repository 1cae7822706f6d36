"""Why a pod has no node yet: its volumes, the devices, or what keeps the nodes from taking it."""

from __future__ import annotations

import re

from hearth.operator.diagnosis.diagnosis import Diagnosis
from hearth.operator.diagnosis.nodes import Demand, Supply, demand_of, supply
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact
from hearth.operator.objects import Condition
from hearth.planning import Plan, claim_name, identity, prewarm_name

_INSUFFICIENT = re.compile(r"(?:(\d+) )?Insufficient ([A-Za-z0-9][A-Za-z0-9./_-]*[A-Za-z0-9])")
_PREEMPTION = re.compile(r"[.,;]?\s*(?:no new claims to deallocate|preemption:)", re.IGNORECASE)
_MISSING_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" (?:not found|bound to non-existent)', re.IGNORECASE)
_UNBOUND = re.compile(
    r"unbound immediate PersistentVolumeClaims|available persistent volumes to bind|volume binding", re.IGNORECASE
)
_OUT_OF_REACH = re.compile(
    r"(\d+) node\(s\) (?:had volume node affinity conflict|didn't match PersistentVolume's node affinity"
    r"|had no available volume zone)",
    re.IGNORECASE,
)
"""Of nodes that are right in every other way: the scheduler looks at volumes after labels, taints and resources."""


def scheduler_words(message: str) -> str:
    """The scheduler's sentence without what it tried afterwards."""
    return _PREEMPTION.split(message, maxsplit=1)[0].strip().rstrip(".")


def insufficient(message: str) -> dict[str, int]:
    """The resources of which nodes have too little free, says the scheduler, and how many nodes that are.

    Nodes without the resource count as well. Nodes that may not take the pod for another reason (a taint, a label) do
    not: the scheduler names the first thing that keeps a pod from a node.
    """
    return {resource: int(count or 1) for count, resource in _INSUFFICIENT.findall(scheduler_words(message))}


def unscheduled(condition: Condition, observed: Observed) -> Diagnosis:
    message = condition.message
    if condition.reason == "SchedulingGated":
        return Diagnosis(
            Reason.SCHEDULING_GATED,
            f"its pod waits for a scheduling gate: {redact(message)}; whoever set the gate has to remove it",
            "waiting",
            "the cluster holds it back",
        )
    missing = _MISSING_CLAIM.search(message)
    if missing and observed.plan is not None and missing.group(1) == claim_name(observed.service):
        return Diagnosis(Reason.CREATING, "the volume claim of its cache is being created", "waiting")
    if missing:
        return Diagnosis(
            Reason.VOLUME_MISSING,
            f"its volume claim {missing.group(1)!r} does not exist; create it, or correct spec.model.source.uri",
            "broken",
            "its volume is missing; its owner finds the reason in its status",
        )
    if _UNBOUND.search(message):
        return _unbound(observed)
    conflict = _OUT_OF_REACH.search(message)
    if conflict:
        return _out_of_reach(int(conflict.group(1)), message, observed)
    return _no_node(message, observed)


def _unbound(observed: Observed) -> Diagnosis:
    mounted = _mounted(observed)
    pending = [claim for claim in observed.claims if claim.status.phase != "Bound"]
    name = pending[0].metadata.name if pending else next(iter(mounted), "")
    subject = f"its volume claim {name!r} is not bound" if name else "a volume claim of its pod is not bound"
    storage_class = pending[0].spec.storage_class_name if pending else ""
    if pending and not storage_class:
        cause = ": it names no StorageClass and the cluster has no default one"
    elif pending:
        cause = f": StorageClass {storage_class!r} has not made a volume for it"
    else:
        cause = ""
    return Diagnosis(
        Reason.VOLUME_NOT_BOUND,
        f"{subject}{cause}; set spec.cache.storageClassName to one of `kubectl get storageclass` (a claim cannot be "
        "changed: delete it, and it is made anew), or spec.cache.strategy: HostPath",
        "broken",
        "its volume is not there yet; its owner finds the reason in its status",
    )


def _mounted(observed: Observed) -> list[str]:
    """The volume claims that the engine mounts."""
    volumes = observed.plan.pod["spec"].get("volumes", ()) if observed.plan else ()
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def _out_of_reach(conflicts: int, message: str, observed: Observed) -> Diagnosis:
    """So many nodes have room for it and cannot use its volume, which belongs to another node or zone."""
    plan, short = observed.plan, insufficient(message)
    device = demand_of(plan, short) if plan is not None else None
    if device is not None and observed.nodes is not None:
        lasting = conflicts >= supply(device, observed.nodes).suitable
    else:
        lasting = not short
    mounted = _mounted(observed)
    claim = mounted[0] if mounted else ""
    objects = plan.objects if plan is not None else ()
    if ("PersistentVolumeClaim", claim) not in map(identity, objects):
        remedy = "make room on that one, or move the volume"
    elif any(pod.spec.node_name and not pod.is_over for pod in observed.pods):
        remedy = "all replicas share it: lower spec.scaling.max, or set spec.cache.strategy: HostPath"
    else:
        # The Job goes with the volume that it filled: while it is there, the weights count as downloaded.
        job = f" job/{prewarm_name(observed.service)}" if observed.service.spec.cache.prewarm else ""
        remedy = (
            f"{'' if lasting else 'it starts when there is room on that one, or '}if the weights may be downloaded again, "
            f"`kubectl delete -n {observed.service.metadata.namespace} pvc/{claim}{job}` has it made anew where there is room"
        )
    subject = f"its claim {claim!r}" if claim else "a claim of its pod"
    nodes = "no node that could run it can" if lasting else "the nodes that have room for it cannot"
    return Diagnosis(
        Reason.VOLUME_NODE_CONFLICT,
        f"{nodes} use the volume of {subject}, which belongs to another node; {remedy}",
        "broken" if lasting else "waiting",
        "its volume is out of reach of the nodes that could run it; its owner finds the reason in its status",
    )


def _no_node(message: str, observed: Observed) -> Diagnosis:
    words = scheduler_words(message)
    short = insufficient(message)
    plan = observed.plan
    demand = demand_of(plan, short) if plan is not None else None
    if plan is not None and demand is not None and observed.nodes is not None:
        have = supply(demand, observed.nodes)
        taken = short.get(demand.device, 0) - have.lacking
        found = _from_nodes(demand, have, observed, plan, out=taken >= have.suitable)
        if found is not None:
            return found
        if taken <= 0:
            short.pop(demand.device, None)  # only nodes that do not have it at all say so
    if not short:
        return Diagnosis(
            Reason.UNSCHEDULABLE,
            f"no node takes its pod: {redact(words)}; change the nodes, or spec.accelerator of the runtime",
            "broken",
            "no node of the cluster takes it",
        )
    devices_alone = all("/" in resource for resource in short)
    lower = " and ".join(_RESOURCE_FIELDS.get(name, _DEVICES if "/" in name else name) for name in short)
    return Diagnosis(
        Reason.INSUFFICIENT_ACCELERATORS if devices_alone else Reason.INSUFFICIENT_RESOURCES,
        f"no node has room for it: too little {' and '.join(short)} free ({redact(words)}); "
        f"{_WAIT_FOR_ACCELERATORS if devices_alone else f'lower {lower}, or add a node'}",
        "waiting",
        "no node of the cluster has room for it",
    )


_RESOURCE_FIELDS = {
    "cpu": "spec.resources.cpu",
    "memory": "spec.resources.memory",
    "ephemeral-storage": "what the pods keep on the node",
}
_DEVICES = "spec.resources.accelerators"
_WAIT_FOR_ACCELERATORS = (
    "it starts as soon as enough is free: let another service sleep (lower its spec.scaling.min or max), or add some"
)
_ACCELERATORS_IN_USE = "all accelerators of the cluster are in use; it starts as soon as one is free"


def _from_nodes(demand: Demand, have: Supply, observed: Observed, plan: Plan, *, out: bool) -> Diagnosis | None:
    """Say which part of the demand no node meets; None when the nodes do not explain it. `out`: the scheduler says of
    every node that has enough devices that too few of them are free."""
    runtime = plan.runtime.metadata.name
    if have.total == 0:
        return Diagnosis(
            Reason.NO_ACCELERATOR,
            f"no node of the cluster has {demand.device}; install the device plugin of {plan.vendor.title} or add such a "
            "node, or choose another runtime (spec.runtime)",
            "broken",
            "no node of the cluster has the accelerator that it needs",
        )
    if have.largest < demand.count:
        return Diagnosis(
            Reason.NODE_TOO_SMALL,
            f"a replica asks for {demand.count} {demand.device} and the largest node has {have.largest}; lower "
            "spec.resources.accelerators",
            "broken",
            "no node of the cluster has as many accelerators as it needs",
        )
    if not have.open:
        some = f"{have.nodes} {'node has' if have.nodes == 1 else 'nodes have'}"
        return Diagnosis(
            Reason.NODES_EXCLUDED,
            f"{some} enough {demand.device} and none may take the pod: {', '.join(have.barriers)}; change those nodes, or "
            f"spec.accelerator.nodeSelector and tolerations of runtime {runtime}",
            "broken",
            "no node of the cluster may run it",
        )
    if not out:
        return None
    free = (
        f"all {have.open} {demand.device} are in use"
        if demand.count == 1
        else (f"no node has {demand.count} of the {have.open} {demand.device} free")
    )
    return Diagnosis(
        Reason.INSUFFICIENT_ACCELERATORS,
        f"{free}{_held(demand, observed)}; {_WAIT_FOR_ACCELERATORS}",
        "waiting",
        _ACCELERATORS_IN_USE,
    )


def _held(demand: Demand, observed: Observed) -> str:
    """By whom the devices are held, as far as that is known and may be told. Pods that are not Hearth's are not seen."""
    placed = [pod for pod in observed.pods if pod.spec.node_name and not pod.is_over]
    ending = demand.count * sum(1 for pod in placed if pod.is_ending)
    own = demand.count * len(placed) - ending
    home = f"{observed.service.metadata.namespace}/"
    near = {key.removeprefix(home): count for key, count in observed.holders.items() if key.startswith(home) and count}
    parts = [f"{own} by this service"] if own else []
    if ending:
        parts.append(f"{ending} by replicas of it that are ending")
    parts += [f"{count} by LLMService {name}" for name, count in sorted(near.items())]
    others = sum(observed.holders.values()) - sum(near.values())
    if others:
        parts.append(f"{others} by others")
    return f" ({', '.join(parts)})" if parts else ""
