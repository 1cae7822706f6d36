"""Prewarming: how far the Job that downloads weights ahead is, and the nodes that it is restricted to.

The Job requests no device, and a pod cannot say "a node that has this resource" without taking some of it. Where a volume
is bound to the node of its first pod, a download on a node without accelerators would keep the engine from ever starting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hearth.operator.diagnosis.containers import last_exit
from hearth.operator.diagnosis.diagnosis import Diagnosis, rank
from hearth.operator.diagnosis.nodes import amount, barriers, demand_of, required_terms
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.pods import ON_ITS_WAY, pod_trouble
from hearth.operator.diagnosis.program import Program, prewarmer
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact
from hearth.operator.objects import Claim, Node, Pod
from hearth.planning import Plan, claim_name, prewarm_name

HOSTNAME = "kubernetes.io/hostname"
"""The label that the kubelet gives its node. Mostly, but not everywhere, the node's name."""

MOST_NODES = 100
"""Nodes that the Job names at most; each of them will do."""

_SELECTED = "volume.kubernetes.io/selected-node"
"""The scheduler's annotation on a claim: the node for which its volume was made."""


def prewarm_nodes(plan: Plan, nodes: Sequence[Node], claims: Sequence[Claim]) -> tuple[str, ...] | None:
    """Return the hostnames of the nodes that the Job of a plan is restricted to.

    They may run the engine and have its devices, in use or not. `claims` are the volume claims of the service.
    Empty when the Job needs no such list: its engine requests no device, or selects nodes by labels, and all of these have
    the device. If there are none of these yet, a Job that waits is what makes a cluster autoscaler add one.
    None when no node will do, but others could take the Job.
    """
    demand = demand_of(plan, (plan.serving.get("resources") or {}).get("limits", {}))
    if demand is None:
        return ()
    free = [node for node in nodes if next(barriers(node, demand.spec), None) is None]
    able = [node for node in free if amount(node, demand.device) >= max(demand.count, 1)]
    if len(able) == len(free) and (demand.spec.get("nodeSelector") or required_terms(demand.spec)):
        return ()
    selected = {
        claim.metadata.annotations.get(_SELECTED) for claim in claims if claim.metadata.name == claim_name(plan.service)
    }
    # Where the volume is already comes first, so that it is not the one that is left out.
    able.sort(key=lambda node: (node.metadata.name not in selected, _hostname(node)))
    names = [name for node in able if (name := _hostname(node))]
    return tuple(names[:MOST_NODES]) or None


def _hostname(node: Node) -> str:
    return node.metadata.labels.get(HOSTNAME, "")


def prewarm_trouble(observed: Observed) -> Diagnosis | None:
    """Say how far the prewarm Job is; None when the weights are there."""
    job, plan = observed.prewarm, observed.plan
    if plan is None or (job is not None and job.is_complete):
        return None
    if job is None:
        return _no_node_to_prewarm_on(plan, observed) or Diagnosis(
            Reason.PREWARMING, "the prewarm Job is being created", "waiting"
        )
    program = prewarmer(plan)
    troubles = sorted(
        (pod_trouble(pod, program, _of_prewarm(observed)) for pod in observed.prewarm_pods if not pod.is_ending),
        key=rank,
    )
    retry = f"kubectl delete job -n {plan.service.metadata.namespace} {prewarm_name(plan.service)}"
    if job.failure.is_true:
        cause = _last_failure(observed.prewarm_pods, program) or redact(job.failure.message)
        return Diagnosis(
            Reason.PREWARM_FAILED,
            f"prewarming failed: {cause}; the first start downloads the weights itself. To retry: {retry}",
            "broken",
        )
    worst = next((trouble for trouble in troubles if trouble.reason not in ON_ITS_WAY), None)
    if worst is not None:
        # The nodes that the Job is restricted to were chosen when it was created, and may be gone.
        hint = f". To choose its nodes again: {retry}" if worst.reason is Reason.UNSCHEDULABLE else ""
        return Diagnosis(Reason.PREWARMING, f"prewarming waits: {worst.message}{hint}", "waiting")
    return Diagnosis(
        Reason.PREWARMING, f"the weights are being downloaded; `{program.logs()}` shows the progress", "waiting"
    )


def _of_prewarm(observed: Observed) -> Observed:
    """Return the observation without what would explain the Job's pod by devices that it does not request."""
    return replace(observed, nodes=None)


def _no_node_to_prewarm_on(plan: Plan, observed: Observed) -> Diagnosis | None:
    """Say that the Job is not created yet because it could fill a cache that the engine cannot use."""
    demand = demand_of(plan, (plan.serving.get("resources") or {}).get("limits", {}))
    if demand is None or observed.nodes is None or prewarm_nodes(plan, observed.nodes, observed.claims) is not None:
        return None
    wanted = demand.device if demand.count == 1 else f"{demand.count} {demand.device}"
    return Diagnosis(
        Reason.NO_ACCELERATOR,
        f"prewarming waits for an eligible node with {wanted}; the engine could not use weights that were downloaded to "
        "another node",
        "waiting",
    )


def _last_failure(pods: Sequence[Pod], program: Program) -> str:
    ends = sorted(
        (
            ended
            for pod in pods
            for container in pod.status.container_statuses
            if (ended := container.state.terminated) is not None and ended.exit_code
        ),
        key=lambda ended: ended.finished_at,
    )
    return last_exit(ends[-1], program) if ends else ""
