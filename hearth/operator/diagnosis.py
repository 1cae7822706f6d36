"""What keeps a service from answering, or from answering more: one sentence with the cause and what to do about it.

Kubernetes scatters it over pods, Jobs, Deployments, nodes and KEDA's objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hearth.api.errors import join_remedy
from hearth.operator.containers import (
    Program,
    container_creating,
    container_trouble,
    ended_words,
    engine,
    gateway_program,
    prewarmer,
    seconds_between,
)
from hearth.operator.lastwords import fit_to_show
from hearth.operator.observation import Object, Observed
from hearth.operator.placement import unscheduled
from hearth.operator.prewarming import prewarm_nodes
from hearth.operator.reasons import Reason
from hearth.operator.scheduling import demand_of
from hearth.operator.trouble import Diagnosis, condition, is_ending, is_over, is_ready, rank
from hearth.planning import Plan, prewarm_name

_LOOP = 2
_AT_ONCE = 60.0
"""Seconds between the end of a pod and the start of the one that takes its place."""


def wanted_replicas(deployment: Object | None) -> int:
    """What the Deployment is told to have; Kubernetes' own default is one."""
    if deployment is None:
        return 0
    replicas = (deployment.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def replica_troubles(observed: Observed) -> tuple[Diagnosis, ...]:
    """Say what each replica that is wanted and not ready waits for; each thing once, the worst first."""
    plan = observed.plan
    if plan is None:
        return ()
    program = engine(plan)
    staying = [pod for pod in observed.pods if not is_ending(pod) and not is_ready(pod)]
    alive = [pod for pod in staying if not is_over(pod)]
    over = sorted((pod for pod in staying if is_over(pod)), key=_created)
    found = [_replaces(pod, over, program) or pod_trouble(pod, program, observed) for pod in alive]
    ready = sum(1 for pod in observed.pods if is_ready(pod))
    if len(alive) + ready < wanted_replicas(observed.deployment):
        refusal = _refused_pods(observed.deployment)
        if refusal is not None:
            found.append(refusal)
        elif not alive:
            found.append(pod_trouble(over[-1], program, observed) if over else _creating(observed))
    return tuple(sorted(dict.fromkeys(found), key=rank))


def _replaces(pod: Object, over: Sequence[Object], program: Program) -> Diagnosis | None:
    """Say why the pods before this one ended, if one after the other did right away: this one will fare no better.

    A pod that its node ended is not started again. It stays for ever, and another one takes its place.
    """
    if len(over) < _LOOP:
        return None
    chain = [*over[-_LOOP:], pod]
    gaps = [seconds_between(_ended_at(one), _created(other)) for one, other in pairwise(chain)]
    if not all(gap is not None and gap <= _AT_ONCE for gap in gaps):
        return None
    last = over[-1].get("status") or {}
    return _evicted(last, program) if last.get("reason") else None


def _created(pod: Object) -> str:
    return str(pod.get("metadata", {}).get("creationTimestamp") or "")


def _ended_at(pod: Object) -> str:
    """When its last container ended; when it was made, for a pod that its node did not take at all."""
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    ends = [(container.get("state") or {}).get("terminated", {}).get("finishedAt") for container in containers]
    return max((end for end in ends if end), default=_created(pod))


def _creating(observed: Observed) -> Diagnosis:
    if any(is_ending(pod) for pod in observed.pods):
        return Diagnosis(Reason.CREATING, "its pod is created when the one before it has ended", "waiting")
    return Diagnosis(Reason.CREATING, "its pod is being created", "waiting")


def _refused_pods(deployment: Object | None) -> Diagnosis | None:
    failure = condition(deployment or {}, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    # The pod's name is another one at each attempt.
    words = re.sub(r'^.*?pods? "[^"]*" is forbidden: ', "", failure.get("message", ""))
    remedy = "change what refuses it (kubectl describe quota, limitrange, namespace), or what the service asks for"
    if "PodSecurity" in words:
        remedy = (
            "the namespace enforces a Pod Security level that the runtime's pod does not meet: serve the model from a "
            "namespace that allows it"
        )
    return Diagnosis(
        Reason.PODS_REFUSED,
        join_remedy(f"the cluster refuses to create its pods: {fit_to_show(words)}", remedy),
        "broken",
        "the cluster refuses to start it; its owner finds the reason in its status",
    )


def pod_trouble(pod: Object, program: Program, observed: Observed) -> Diagnosis:
    """Say what a pod that is not ready waits for."""
    status = pod.get("status") or {}
    if status.get("phase") == "Failed" and status.get("reason"):
        return _evicted(status, program)
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return unscheduled(scheduled, observed)
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    troubles = [found for container in containers if (found := container_trouble(container, program)) is not None]
    if troubles:
        return min(troubles, key=rank)
    if scheduled.get("status") != "True" and not pod.get("spec", {}).get("nodeName"):
        return Diagnosis(Reason.SCHEDULING, "a node is being found for its pod", "waiting")
    if not containers:
        return container_creating(program)
    return Diagnosis(
        Reason.NOT_ANSWERING,
        f"{program.name} runs and its readiness probe is not answered; if that lasts: "
        f"{program.logs.removesuffix(' --previous')}",
        "starting",
    )


def _evicted(status: Mapping[str, Any], program: Program) -> Diagnosis:
    words = fit_to_show(f"{status['reason']}: {status.get('message', '')}".rstrip(": "))
    return Diagnosis(
        Reason.EVICTED,
        f"the pod of {program.name} was ended by its node ({words}); free what the node ran short of",
        "broken",
        "its node ended it; it is started again",
    )


def first_starting(troubles: Iterable[Diagnosis]) -> Diagnosis | None:
    """What a service that has no replica yet waits for: the replica that is furthest."""
    found: Iterator[Diagnosis] = iter(
        sorted(troubles, key=lambda at: ("starting", "broken", "waiting").index(at.stage))
    )
    return next(found, None)


def gateway_trouble(observed: Observed) -> Diagnosis | None:
    """Say why nobody answers the service's clients; None when a gateway does."""
    gateway = observed.gateway
    if gateway is None:
        return Diagnosis(Reason.GATEWAY_STARTING, "its gateway is being created", "waiting")
    pods = [pod for pod in observed.gateway_pods if not is_ending(pod)]
    # Either of them may be known later than the other; what comes second is looked at again only if it matters.
    if any(is_ready(pod) for pod in pods) or int((gateway.get("status") or {}).get("availableReplicas") or 0):
        return None
    program = gateway_program(gateway)
    troubles = sorted((pod_trouble(pod, program, _of_gateway(observed)) for pod in pods if not is_over(pod)), key=rank)
    refusal = _refused_pods(gateway)
    if refusal is not None and not troubles:
        troubles = [refusal]
    worst = next((trouble for trouble in troubles if trouble.stage == "broken"), None) or next(
        (trouble for trouble in troubles if trouble.reason not in _ON_ITS_WAY), None
    )
    if worst is None:
        return Diagnosis(Reason.GATEWAY_STARTING, "its gateway is starting", "waiting")
    return Diagnosis(Reason.GATEWAY_UNAVAILABLE, f"no gateway answers its clients: {worst.message}", worst.stage)


_ON_ITS_WAY = frozenset(
    {
        Reason.CREATING,
        Reason.SCHEDULING,
        Reason.CONTAINER_CREATING,
        Reason.LOADING,
        Reason.NOT_ANSWERING,
        Reason.RESTARTING,
    }
)


def _of_gateway(observed: Observed) -> Observed:
    """Without what would explain a gateway's pod by the engine's needs."""
    return replace(observed, plan=None, pods=(), nodes=None)


def prewarm_trouble(observed: Observed) -> Diagnosis | None:
    """Say how far the prewarm Job is; None when the weights are there."""
    job, plan = observed.prewarm, observed.plan
    if plan is None or (job is not None and condition(job, "Complete").get("status") == "True"):
        return None
    if job is None:
        return _no_node_to_prewarm_on(plan, observed) or Diagnosis(
            Reason.PREWARMING, "the download of the weights is being created", "waiting"
        )
    program = prewarmer(plan)
    troubles = sorted(
        (pod_trouble(pod, program, _of_prewarm(observed)) for pod in observed.prewarm_pods if not is_ending(pod)),
        key=rank,
    )
    again = f"kubectl delete job -n {plan.service.metadata.namespace} {prewarm_name(plan.service)}"
    failed = condition(job, "Failed")
    if failed.get("status") == "True":
        cause = _last_failure(observed.prewarm_pods, program) or fit_to_show(failed.get("message") or "")
        return Diagnosis(
            Reason.PREWARM_FAILED,
            f"the weights were not downloaded ahead: {cause}; the first start downloads them itself. To try again: "
            f"{again}",
            "broken",
        )
    worst = next((trouble for trouble in troubles if trouble.reason not in _ON_ITS_WAY), None)
    if worst is not None:
        # The nodes that the Job is kept to were chosen when it was created, and may be gone.
        anew = f". To choose its nodes anew: {again}" if worst.reason is Reason.UNSCHEDULABLE else ""
        return Diagnosis(Reason.PREWARMING, f"the weights are not downloaded yet: {worst.message}{anew}", "waiting")
    return Diagnosis(
        Reason.PREWARMING, f"the weights are being downloaded; `{program.logs}` shows how far it is", "waiting"
    )


def _of_prewarm(observed: Observed) -> Observed:
    """Without what would explain the Job's pod by the devices that it does not ask for."""
    return replace(observed, nodes=None)


def _no_node_to_prewarm_on(plan: Plan, observed: Observed) -> Diagnosis | None:
    """Say that the Job is not created yet because it could fill a cache that the engine cannot use."""
    demand = demand_of(plan, (plan.serving.get("resources") or {}).get("limits", {}))
    if demand is None or observed.nodes is None or prewarm_nodes(plan, observed.nodes, observed.claims) is not None:
        return None
    wanted = demand.device if demand.count == 1 else f"{demand.count} {demand.device}"
    return Diagnosis(
        Reason.NO_ACCELERATOR,
        f"the weights are not downloaded yet: no node that may run the engine has {wanted}, and on another one they would be "
        "of no use to it; the download begins when there is such a node",
        "waiting",
    )


def _last_failure(pods: Sequence[Object], program: Program) -> str:
    ends = sorted(
        (
            ended
            for pod in pods
            for container in (pod.get("status") or {}).get("containerStatuses") or ()
            if (ended := (container.get("state") or {}).get("terminated")) is not None and ended.get("exitCode")
        ),
        key=lambda ended: str(ended.get("finishedAt", "")),
    )
    return ended_words(ends[-1], program) if ends else ""
