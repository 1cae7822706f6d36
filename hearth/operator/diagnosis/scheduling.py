"""Scheduling: why a pod has no node yet."""

from __future__ import annotations

from collections.abc import Mapping

from hearth.operator.diagnosis.accelerators import WAIT_FOR_ACCELERATORS, accelerator_trouble
from hearth.operator.diagnosis.diagnosis import Diagnosis
from hearth.operator.diagnosis.nodes import demand_of, supply
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact
from hearth.operator.diagnosis.scheduler_message import insufficient, scheduler_words
from hearth.operator.diagnosis.volumes import volume_trouble
from hearth.operator.objects import Condition

_RESOURCE_FIELDS = {
    "cpu": "spec.resources.cpu",
    "memory": "spec.resources.memory",
    "ephemeral-storage": "what the pods keep on the node",
}
_DEVICES = "spec.resources.accelerators"


def unscheduled(condition: Condition, observed: Observed) -> Diagnosis:
    """Say why a pod has no node, from its condition PodScheduled."""
    if condition.reason == "SchedulingGated":
        return Diagnosis(
            Reason.SCHEDULING_GATED,
            f"a scheduling gate holds back the pod: {redact(condition.message)}; the controller that set the gate has to "
            "remove it",
            "waiting",
            "the cluster holds back the pod",
        )
    return volume_trouble(condition.message, observed) or _no_node(condition.message, observed)


def _no_node(message: str, observed: Observed) -> Diagnosis:
    short, plan = insufficient(message), observed.plan
    demand = demand_of(plan, short) if plan is not None else None
    if plan is not None and demand is not None and observed.nodes is not None:
        have = supply(demand, observed.nodes)
        taken = short.get(demand.device, 0) - have.lacking
        found = accelerator_trouble(demand, have, observed, plan, in_use=taken >= have.suitable)
        if found is not None:
            return found
        if taken <= 0:
            short.pop(demand.device, None)  # only nodes that do not have it at all say so
    return _no_room(short, message) if short else _unschedulable(message)


def _unschedulable(message: str) -> Diagnosis:
    return Diagnosis(
        Reason.UNSCHEDULABLE,
        f"the pod is unschedulable: {redact(scheduler_words(message))}; change the nodes, or spec.accelerator of the runtime",
        "broken",
        "no node of the cluster can run the pod",
    )


def _no_room(short: Mapping[str, int], message: str) -> Diagnosis:
    devices_alone = all("/" in resource for resource in short)
    lower = " and ".join(_RESOURCE_FIELDS.get(name, _DEVICES if "/" in name else name) for name in short)
    return Diagnosis(
        Reason.INSUFFICIENT_ACCELERATORS if devices_alone else Reason.INSUFFICIENT_RESOURCES,
        f"no node has room for the pod: too little {' and '.join(short)} free ({redact(scheduler_words(message))}); "
        f"{WAIT_FOR_ACCELERATORS if devices_alone else f'lower {lower}, or add a node'}",
        "waiting",
        "no node of the cluster has room for the pod",
    )
