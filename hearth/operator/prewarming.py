"""Which nodes a prewarm Job is kept to, so that it fills no cache that the engine cannot use.

The Job asks for no device, and a pod cannot say "a node that has this resource" without taking some of it. Where a volume
is bound to the node of its first pod, a download on a node without accelerators would keep the engine from ever starting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hearth.operator.observation import Object
from hearth.operator.scheduling import amount, barriers, demand_of, required_terms
from hearth.planning import Plan, claim_name

HOSTNAME = "kubernetes.io/hostname"
"""The label that the kubelet gives its node. Mostly, but not everywhere, the node's name."""

MOST_NODES = 100
"""So many nodes are named at most; each of them will do."""

_SELECTED = "volume.kubernetes.io/selected-node"
"""The scheduler's annotation on a claim: the node for which its volume was made."""


def prewarm_nodes(plan: Plan, nodes: Sequence[Object], claims: Sequence[Object]) -> tuple[str, ...] | None:
    """Return the hostnames that the Job of a plan is to be kept to: of nodes that may take the engine and have its
    devices, whether they are free or not. `claims` are the volume claims of the service.

    Empty when the Job needs no such list: its engine asks for no device, or says by labels which nodes it wants, and all
    of these have the device. If there are none of these yet, a Job that waits is what makes an autoscaler add one.
    None when no node will do, but others could take the Job.
    """
    demand = demand_of(plan, (plan.serving.get("resources") or {}).get("limits", {}))
    if demand is None:
        return ()
    free = [node for node in nodes if next(barriers(node, demand.spec), None) is None]
    able = [node for node in free if amount(node, demand.device) >= max(demand.count, 1)]
    if len(able) == len(free) and (demand.spec.get("nodeSelector") or required_terms(demand.spec)):
        return ()
    selected = {_annotation(claim) for claim in claims if claim["metadata"].get("name") == claim_name(plan.service)}
    # Where the volume is already comes first, so that it is not the one that is left out.
    able.sort(key=lambda node: (node["metadata"].get("name") not in selected, _hostname(node)))
    names = [name for node in able if (name := _hostname(node))]
    return tuple(names[:MOST_NODES]) or None


def _hostname(node: Object) -> str:
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    return labels.get(HOSTNAME, "")


def _annotation(claim: Object) -> str | None:
    annotations: Mapping[str, str] = claim["metadata"].get("annotations") or {}
    return annotations.get(_SELECTED)
