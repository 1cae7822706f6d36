"""Pods: what one that is not ready waits for, or why none is created."""

from __future__ import annotations

import re

from hearth.api.errors import join_remedy
from hearth.operator.diagnosis.containers import (
    Program,
    container_creating,
    container_trouble,
)
from hearth.operator.diagnosis.diagnosis import Diagnosis, rank
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact
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


def pod_trouble(pod: Pod, program: Program, observed: Observed) -> Diagnosis:
    """Say what a pod that is not ready waits for."""
    status = pod.status
    if status.phase == "Failed" and status.reason:
        return evicted(status.reason, status.message, program)
    scheduled = pod.condition("PodScheduled")
    if scheduled.is_false:
        return unscheduled(scheduled, observed)
    containers = [*status.init_container_statuses, *status.container_statuses]
    troubles = [found for container in containers if (found := container_trouble(container, program)) is not None]
    if troubles:
        return min(troubles, key=rank)
    if not scheduled.is_true and not pod.spec.node_name:
        return Diagnosis(Reason.SCHEDULING, "a node is being found for its pod", "waiting")
    if not containers:
        return container_creating(program)
    return Diagnosis(
        Reason.CONTAINERS_NOT_READY,
        f"{program.name} runs and its readiness probe is not answered; if that lasts: "
        f"{program.logs.removesuffix(' --previous')}",
        "starting",
    )


def evicted(reason: str, message: str, program: Program) -> Diagnosis:
    words = redact(f"{reason}: {message}".rstrip(": "))
    return Diagnosis(
        Reason.EVICTED,
        f"the pod of {program.name} was ended by its node ({words}); free what the node ran short of",
        "broken",
        "its node ended it; it is started again",
    )


def refused_pods(deployment: Deployment | None) -> Diagnosis | None:
    if deployment is None or not deployment.replica_failure.is_true:
        return None
    # The pod's name is another one at each attempt.
    words = re.sub(r'^.*?pods? "[^"]*" is forbidden: ', "", deployment.replica_failure.message)
    remedy = "change what refuses it (kubectl describe quota, limitrange, namespace), or what the service asks for"
    if "PodSecurity" in words:
        remedy = (
            "the namespace enforces a Pod Security level that the runtime's pod does not meet: serve the model from a "
            "namespace that allows it"
        )
    return Diagnosis(
        Reason.FAILED_CREATE,
        join_remedy(f"the cluster refuses to create its pods: {redact(words)}", remedy),
        "broken",
        "the cluster refuses to start it; its owner finds the reason in its status",
    )
