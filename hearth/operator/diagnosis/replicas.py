"""Replicas: what each one that is wanted and not ready waits for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from hearth.operator.diagnosis.containers import (
    Program,
    engine,
    seconds_between,
)
from hearth.operator.diagnosis.diagnosis import Diagnosis, rank
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.pods import evicted, pod_trouble, refused_pods
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.objects import Deployment, Pod

_LOOP = 2
_AT_ONCE = 60.0
"""Seconds between the end of a pod and the start of the one that takes its place."""


def wanted_replicas(deployment: Deployment | None) -> int:
    """What the Deployment is told to have."""
    return 0 if deployment is None else deployment.spec.replicas


def replica_troubles(observed: Observed) -> tuple[Diagnosis, ...]:
    """Say what each replica that is wanted and not ready waits for; each thing once, the worst first."""
    plan = observed.plan
    if plan is None:
        return ()
    program = engine(plan)
    staying = [pod for pod in observed.pods if not pod.is_ending and not pod.is_ready]
    alive = [pod for pod in staying if not pod.is_over]
    over = sorted((pod for pod in staying if pod.is_over), key=_created)
    found = [_replaces(pod, over, program) or pod_trouble(pod, program, observed) for pod in alive]
    ready = sum(1 for pod in observed.pods if pod.is_ready)
    if len(alive) + ready < wanted_replicas(observed.deployment):
        refusal = refused_pods(observed.deployment)
        if refusal is not None:
            found.append(refusal)
        elif not alive:
            found.append(pod_trouble(over[-1], program, observed) if over else _creating(observed))
    return tuple(sorted(dict.fromkeys(found), key=rank))


def _replaces(pod: Pod, over: Sequence[Pod], program: Program) -> Diagnosis | None:
    """Say why the pods before this one ended, if one after the other did right away: this one will fare no better.

    A pod that its node ended is not started again. It stays for ever, and another one takes its place.
    """
    if len(over) < _LOOP:
        return None
    chain = [*over[-_LOOP:], pod]
    gaps = [seconds_between(_ended_at(one), _created(other)) for one, other in pairwise(chain)]
    if not all(gap is not None and gap <= _AT_ONCE for gap in gaps):
        return None
    last = over[-1].status
    return evicted(last.reason, last.message, program) if last.reason else None


def _created(pod: Pod) -> str:
    return pod.metadata.creation_timestamp


def _ended_at(pod: Pod) -> str:
    """When its last container ended; when it was made, for a pod that its node did not take at all."""
    ends = [container.state.terminated for container in pod.status.container_statuses]
    return max((end.finished_at for end in ends if end is not None and end.finished_at), default=_created(pod))


def _creating(observed: Observed) -> Diagnosis:
    if any(pod.is_ending for pod in observed.pods):
        return Diagnosis(Reason.CREATING, "its pod is created when the one before it has ended", "waiting")
    return Diagnosis(Reason.CREATING, "its pod is being created", "waiting")


def first_starting(troubles: Iterable[Diagnosis]) -> Diagnosis | None:
    """What a service that has no replica yet waits for: the replica that is furthest."""
    found: Iterator[Diagnosis] = iter(
        sorted(troubles, key=lambda at: ("starting", "broken", "waiting").index(at.stage))
    )
    return next(found, None)
