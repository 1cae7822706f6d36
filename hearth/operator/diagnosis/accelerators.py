"""Accelerators: which part of a pod's demand for devices no node meets, and which services hold them."""

from __future__ import annotations

from hearth.operator.diagnosis.diagnosis import Diagnosis
from hearth.operator.diagnosis.nodes import Demand, Supply
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.planning import Plan

WAIT_FOR_ACCELERATORS = (
    "the pod starts as soon as enough are free: let another service scale to zero (lower its spec.scaling.min or max), or "
    "add a node"
)


def accelerator_trouble(
    demand: Demand, have: Supply, observed: Observed, plan: Plan, *, in_use: bool
) -> Diagnosis | None:
    """Say which part of the demand no node meets; None when the nodes do not explain it.

    `in_use`: the scheduler says of every node with enough devices that too few of them are free.
    """
    if have.total == 0:
        return Diagnosis(
            Reason.NO_ACCELERATOR,
            f"no node of the cluster has {demand.device}; install the device plugin of {plan.vendor.title}, add such a "
            "node, or choose another runtime (spec.runtime)",
            "broken",
            "no node of the cluster has the accelerator that the model needs",
        )
    if have.largest < demand.count:
        return Diagnosis(
            Reason.NODE_TOO_SMALL,
            f"a replica requests {demand.count} {demand.device} and the largest node has {have.largest}; lower "
            "spec.resources.accelerators",
            "broken",
            "no node of the cluster has as many accelerators as the model needs",
        )
    if not have.open:
        some = f"{have.nodes} {'node has' if have.nodes == 1 else 'nodes have'}"
        return Diagnosis(
            Reason.NODES_EXCLUDED,
            f"{some} enough {demand.device} but may not run the pod: {', '.join(have.barriers)}; change those nodes, or "
            f"spec.accelerator.nodeSelector and tolerations of runtime {plan.runtime.metadata.name}",
            "broken",
            "no node of the cluster may run the model",
        )
    return _in_use(demand, have, observed) if in_use else None


def _in_use(demand: Demand, have: Supply, observed: Observed) -> Diagnosis:
    free = (
        f"all {have.open} {demand.device} are in use"
        if demand.count == 1
        else f"no node has {demand.count} of the {have.open} {demand.device} free"
    )
    return Diagnosis(
        Reason.INSUFFICIENT_ACCELERATORS,
        f"{free}{_held(demand, observed)}; {WAIT_FOR_ACCELERATORS}",
        "waiting",
        "all accelerators of the cluster are in use; the model starts as soon as one is free",
    )


def _held(demand: Demand, observed: Observed) -> str:
    """Return which services hold the devices, as far as that is known and may be shown.

    Pods that are not Hearth's are unknown.
    """
    placed = [pod for pod in observed.pods if pod.spec.node_name and not pod.is_over]
    ending = demand.count * sum(1 for pod in placed if pod.is_ending)
    own = demand.count * len(placed) - ending
    home = f"{observed.service.metadata.namespace}/"
    near = {key.removeprefix(home): count for key, count in observed.holders.items() if key.startswith(home) and count}
    parts = [f"{own} by this service"] if own else []
    if ending:
        parts.append(f"{ending} by its terminating replicas")
    parts += [f"{count} by LLMService {name}" for name, count in sorted(near.items())]
    others = sum(observed.holders.values()) - sum(near.values())
    if others:
        parts.append(f"{others} by others")
    return f" ({', '.join(parts)})" if parts else ""
