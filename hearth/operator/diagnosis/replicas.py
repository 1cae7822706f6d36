"""Replicas: what each one that is desired and not ready waits for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hearth.operator.diagnosis.containers import seconds_between
from hearth.operator.diagnosis.diagnosis import LOOP, Diagnosis, rank
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.pods import ended_by_node, not_created, pod_trouble
from hearth.operator.diagnosis.program import Program, engine
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.rejection import is_rejected, rejected
from hearth.operator.objects import Deployment, Pod

_AT_ONCE = 60.0
"""Seconds between the end of a pod and the start of the one that takes its place."""


def desired_replicas(deployment: Deployment | None) -> int:
    """Return how many replicas a Deployment is to have."""
    return 0 if deployment is None else deployment.spec.replicas


def replica_troubles(observed: Observed) -> tuple[Diagnosis, ...]:
    """Say what each replica that is desired and not ready waits for; each thing once, the worst first."""
    plan = observed.plan
    if plan is None:
        return ()
    program = engine(plan)
    staying = [pod for pod in observed.pods if not pod.is_ending and not pod.is_ready]
    alive = [pod for pod in staying if not pod.is_over]
    over = sorted((pod for pod in staying if pod.is_over), key=_created)
    found = [_repeats(pod, over, program) or pod_trouble(pod, program, observed) for pod in alive]
    missing = desired_replicas(observed.deployment) - sum(1 for pod in observed.pods if pod.is_ready)
    if len(alive) < missing:
        failure = not_created(observed.deployment)
        if failure is not None:
            found.append(failure)
        elif not alive:
            found.append(pod_trouble(over[-1], program, observed) if over else _creating(observed))
    elif missing > 0 and over and is_rejected(over[-1]) and not _repeats(alive[-1], over, program):
        found.append(rejected(over[-1], program))
    return tuple(sorted(dict.fromkeys(found), key=rank))


def first_starting(troubles: Iterable[Diagnosis]) -> Diagnosis | None:
    """Return what a service without a replica waits for: the trouble of the replica that is furthest."""
    return min(troubles, key=lambda at: ("starting", "broken", "waiting").index(at.stage), default=None)


def _repeats(pod: Pod, over: Sequence[Pod], program: Program) -> Diagnosis | None:
    """Say why the pods before this one ended, if one after the other did right away: this one will fare no better.

    A pod that its node ended is not restarted. It stays, and another one takes its place.
    """
    if len(over) < LOOP:
        return None
    chain = [*over[-LOOP:], pod]
    gaps = [seconds_between(_ended_at(one), _created(other)) for one, other in pairwise(chain)]
    if not all(gap is not None and gap <= _AT_ONCE for gap in gaps):
        return None
    return ended_by_node(over[-1], program, repeatedly=True) if over[-1].status.reason else None


def _created(pod: Pod) -> str:
    return pod.metadata.creation_timestamp


def _ended_at(pod: Pod) -> str:
    """Return when the last container of a pod exited; when a pod was created that its node rejected."""
    ends = [container.state.terminated for container in pod.status.container_statuses]
    return max((end.finished_at for end in ends if end is not None and end.finished_at), default=_created(pod))


def _creating(observed: Observed) -> Diagnosis:
    if any(pod.is_ending for pod in observed.pods):
        return Diagnosis(
            Reason.CREATING, "the pod of the engine is created once the previous one has terminated", "waiting"
        )
    return Diagnosis(Reason.CREATING, "the pod of the engine is being created", "waiting")
