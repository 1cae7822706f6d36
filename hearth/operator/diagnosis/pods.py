"""Pods: what one that is not ready waits for, or why none is created."""

from __future__ import annotations

import re

from hearth.api.errors import join_remedy
from hearth.operator.diagnosis.containers import container_creating, container_trouble
from hearth.operator.diagnosis.diagnosis import SEE_STATUS, Diagnosis, rank
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.program import Program
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact
from hearth.operator.diagnosis.rejection import is_rejected, rejected
from hearth.operator.diagnosis.scheduling import unscheduled
from hearth.operator.objects import Deployment, Pod

ON_ITS_WAY = frozenset(
    {
        Reason.CREATING,
        Reason.SCHEDULING,
        Reason.CONTAINER_CREATING,
        Reason.LOADING,
        Reason.CONTAINERS_NOT_READY,
        Reason.RESTARTING,
    }
)
"""Reasons of a start that goes as it should."""

_POD_NAME = re.compile(r'^.*?pods? "[^"]*" is forbidden: ')
"""Each attempt to create a pod has another name."""


def pod_trouble(pod: Pod, program: Program, observed: Observed) -> Diagnosis:
    """Say what a pod that is not ready waits for."""
    status = pod.status
    if status.phase == "Failed" and status.reason:
        return ended_by_node(pod, program)
    scheduled = pod.condition("PodScheduled")
    if scheduled.is_false:
        return unscheduled(scheduled, observed)
    containers = [*status.init_container_statuses, *status.container_statuses]
    troubles = [found for container in containers if (found := container_trouble(container, program)) is not None]
    if troubles:
        return min(troubles, key=rank)
    if not scheduled.is_true and not pod.spec.node_name:
        return Diagnosis(Reason.SCHEDULING, f"the pod of {program.name} is being scheduled", "waiting")
    if not containers:
        return container_creating(program)
    return Diagnosis(
        Reason.CONTAINERS_NOT_READY,
        f"{program.name} is running and has not passed its readiness probe yet; if that lasts, see `{program.logs()}`",
        "starting",
    )


def ended_by_node(pod: Pod, program: Program, *, repeatedly: bool = False) -> Diagnosis:
    """Say why a node refused or evicted a pod; `repeatedly`: the pod before it as well."""
    if is_rejected(pod):
        return rejected(pod, program, "broken" if repeatedly else "waiting")
    status = pod.status
    evicted = status.reason == "Evicted"
    how = "evicted" if evicted else "terminated by its node"
    remedy = "free up that resource on the node" if evicted else "see `kubectl describe node`"
    words = redact(f"{status.reason}: {status.message}".rstrip(": "))
    return Diagnosis(
        Reason.EVICTED,
        f"the pod of {program.name} was {how} ({words}); {remedy}",
        "broken",
        "the pod was evicted from its node and is created again",
    )


def not_created(deployment: Deployment | None) -> Diagnosis | None:
    """Say why the pods of a Deployment are rejected when they are created; None when they are not."""
    if deployment is None or not deployment.replica_failure.is_true:
        return None
    words = _POD_NAME.sub("", deployment.replica_failure.message)
    remedy = "change what rejects them (kubectl describe quota, limitrange, namespace), or what the service requests"
    if "PodSecurity" in words:
        remedy = (
            "the namespace enforces a Pod Security level that the runtime's pod does not meet: serve the model from a "
            "namespace that allows it"
        )
    return Diagnosis(
        Reason.FAILED_CREATE,
        join_remedy(f"the pods of Deployment {deployment.metadata.name} cannot be created: {redact(words)}", remedy),
        "broken",
        f"the cluster does not allow the pod; {SEE_STATUS}",
    )
