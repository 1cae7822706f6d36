"""Conditions: the table of those that a service has, and what each of them says.

A condition is one entry of `CONDITIONS`; status, Events and metrics read everything about it there. Each is pure: the
same assessment gives the same finding, whatever the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hearth.api import HearthError, format_duration
from hearth.api.phase import Phase
from hearth.operator.diagnosis.diagnosis import Stage
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.prewarm import prewarm_trouble
from hearth.operator.diagnosis.reasons import NORMAL, Reason
from hearth.operator.diagnosis.redaction import redact
from hearth.operator.status.assessment import REFUSALS, Assessment
from hearth.planning.prewarm import prewarm_job

Truth = Literal["True", "False", "Unknown"]
Wire = Mapping[str, Any]
"""A condition as it is stored."""

LONGEST_MESSAGE = 1000
"""Characters of a condition's message: an Event, which has 1024, can hold it whole."""

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_PHASES: Mapping[Stage, Phase] = {"starting": "Loading", "waiting": "Pending", "broken": "Degraded"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition's content, before it has a type and a time."""

    status: Truth
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ConditionType:
    """One condition: how it is found, and what the rest of the operator has to know about it."""

    type: str
    find: Callable[[Assessment], Finding | None]
    """None for a service that does not have the condition."""
    worth_event: Callable[[Wire | None, Wire], bool]
    """Whether a change, from the condition before it if there was one, is worth an Event of its own."""
    bad: Truth | None = "False"
    """The status that metrics report as trouble; None when none is."""
    event: str = ""
    """The reason of its Events, which then are Normal; empty when it is the condition's own."""


def findings(assessment: Assessment) -> Iterator[tuple[str, Finding]]:
    """Return the conditions that a service has, by their types, in the order of the table."""
    for each in CONDITIONS.values():
        finding = each.find(assessment)
        if finding is not None:
            yield each.type, finding


def is_trouble(condition: Wire) -> bool:
    """Return whether a condition is one that metrics report."""
    known = CONDITIONS.get(condition.get("type", ""))
    return known is not None and known.bad is not None and condition.get("status") == known.bad


def is_normal(condition: Wire) -> bool:
    """Return whether nobody has to act on a condition's reason."""
    return condition.get("reason") in NORMAL


def word_of(error: HearthError) -> str:
    """Return the error's own word for a reason; empty when it has none that a condition may have."""
    word = getattr(error, "reason", "")
    return word if isinstance(word, str) and len(word) <= 128 and _REASON.fullmatch(word) else ""


def _reason(error: HearthError) -> str:
    return word_of(error) or (Reason.INVALID_SERVICE if isinstance(error, REFUSALS) else Reason.APPLY_FAILED)


# --- Ready: requests are answered, now or after waking --------------------------------------------------------------------


def phase(assessment: Assessment) -> Phase:
    """Return the phase, which is the condition Ready in one word."""
    return _readiness(assessment)[0]


def _ready(assessment: Assessment) -> Finding:
    return _readiness(assessment)[1]


def _readiness(assessment: Assessment) -> tuple[Phase, Finding]:
    if assessment.deleting:
        message = "the service is being deleted, with everything that belongs to it"
        return "Pending", Finding("False", Reason.TERMINATING, message)
    if assessment.error is not None:
        error = assessment.error
        return "Degraded", Finding("False", _reason(error), _error_message(assessment, error))
    trouble = assessment.gateway or assessment.missing
    if trouble is None and not assessment.desired:
        trouble = assessment.waking
        if trouble is None:
            return "ScaledToZero", Finding("True", Reason.SCALED_TO_ZERO, _scaled_to_zero(assessment))
    if trouble is None and assessment.ready:
        return "Ready", Finding("True", Reason.AVAILABLE, "a replica is ready: requests are answered at once")
    trouble = trouble or assessment.start
    return _PHASES[trouble.stage], Finding("False", trouble.reason, trouble.message)


def _scaled_to_zero(assessment: Assessment) -> str:
    cold = assessment.observed.service.spec.endpoint.cold_start.mode
    rejected = "" if cold == "keepalive" else ", and is rejected with 503 until that is ready"
    ending = any(pod.is_ending for pod in assessment.observed.pods)
    holds = "will hold no accelerator once the last replica has terminated" if ending else "holds no accelerator"
    return f"the service is scaled to zero and {holds}; the next request starts a replica{rejected}"


def _error_message(assessment: Assessment, error: HearthError) -> str:
    running = "; replicas from before this change are still running" if assessment.refusal and assessment.ready else ""
    words = str(error) if isinstance(error, REFUSALS) else redact(str(error), LONGEST_MESSAGE)
    return f"{words}{running}"


def _ready_worth(before: Wire | None, condition: Wire) -> bool:
    """Return True for troubles and for the end of a start; the steps of a start are in the status.

    A gateway that restarts is one thing that happened, and not one for every service of the namespace.
    """
    after_gateway = (before or {}).get("reason") == Reason.GATEWAY_STARTING
    return not is_normal(condition) or (condition["status"] == "True" and not after_gateway)


# --- RuntimeResolved: the service can be planned --------------------------------------------------------------------------


def _runtime_resolved(assessment: Assessment) -> Finding:
    observed, plan = assessment.observed, assessment.observed.plan
    if assessment.refusal is not None:
        return Finding("False", _reason(assessment.refusal), str(assessment.refusal))
    if plan is None:
        return Finding("Unknown", Reason.NOT_PLANNED, "the service has not been planned yet")
    notes = [*plan.warnings, *observed.warnings]
    warnings = f". Warnings: {'; '.join(notes)}" if notes else ""
    used = f"the service uses runtime {plan.runtime.metadata.name} (vendor {plan.vendor.name})"
    return Finding("True", Reason.RUNTIME_SELECTED, f"{used}{warnings}")


def _runtime_resolved_worth(before: Wire | None, condition: Wire) -> bool:
    return condition["status"] == "False" or (before or {}).get("status") == "False"


# --- Activating: a replica is desired and none is ready -------------------------------------------------------------------


def _activating(assessment: Assessment) -> Finding:
    observed = assessment.observed
    if assessment.deleting:
        return Finding("False", Reason.TERMINATING, "the service is being deleted")
    if observed.plan is None:
        return Finding("False", Reason.NOT_PLANNED, "the service has no plan; see the condition RuntimeResolved")
    if assessment.ready:
        return Finding("False", Reason.AVAILABLE, "a replica is ready")
    if not assessment.desired:
        return Finding("False", Reason.SCALED_TO_ZERO, "no replica is desired")
    start = assessment.start
    return Finding("True", start.reason, f"no replica is ready yet: {start.message}; {_patience(observed)}")


def _patience(observed: Observed) -> str:
    if observed.service.spec.endpoint.cold_start.mode == "reject":
        return "until one is ready, requests are rejected with 503"
    wait = format_duration(observed.service.spec.scaling.activation_timeout.seconds)
    return f"requests are held until one is ready, each for at most {wait}"


def _activating_worth(before: Wire | None, condition: Wire) -> bool:
    return condition["status"] == "True" and (before or {}).get("status") != "True"


# --- Scaled: as many replicas as desired, and the number follows the demand -----------------------------------------------


def _scaled(assessment: Assessment) -> Finding:
    observed, scaler = assessment.observed, assessment.scaler
    if assessment.deleting:
        return Finding("Unknown", Reason.TERMINATING, "the service is being deleted")
    if observed.plan is None or assessment.refusal is not None:
        return Finding("Unknown", Reason.NOT_PLANNED, "the service has no plan; see the condition RuntimeResolved")
    if scaler is not None and scaler.reason != Reason.SCALED_OBJECT_PENDING:
        return Finding("False", scaler.reason, scaler.message)
    if assessment.ready < assessment.desired:
        return _too_few(assessment)
    if scaler is not None:
        return Finding("Unknown", scaler.reason, scaler.message)
    if not assessment.desired:
        return Finding("True", Reason.SCALED_TO_ZERO, "no replica is desired")
    many = "1 replica is" if assessment.desired == 1 else f"{assessment.desired} replicas are"
    return Finding("True", Reason.MINIMUM_REPLICAS_AVAILABLE, f"{many} desired and ready")


def _too_few(assessment: Assessment) -> Finding:
    trouble = assessment.troubles[0] if assessment.troubles else assessment.start
    are = "is" if assessment.ready == 1 else "are"
    count = f"{assessment.ready} of {assessment.desired} desired replicas {are} ready"
    known = not assessment.ready and trouble == assessment.start
    why = "; the condition Activating says what the first one waits for" if known else f": {trouble.message}"
    return Finding("False", trouble.reason, f"{count}{why}")


def _scaled_worth(before: Wire | None, condition: Wire) -> bool:
    was_bad = before is not None and before.get("status") == "False" and not is_normal(before)
    return not is_normal(condition) or (condition["status"] == "True" and was_bad)


# --- Prewarmed: the weights are there before the first start --------------------------------------------------------------


def _prewarmed(assessment: Assessment) -> Finding | None:
    plan = assessment.observed.plan
    if plan is None or assessment.refusal is not None or prewarm_job(plan) is None:
        return None
    trouble = prewarm_trouble(assessment.observed)
    if trouble is None:
        return Finding("True", Reason.PREWARMED, "the weights are downloaded")
    return Finding("False", trouble.reason, trouble.message)


def _prewarmed_worth(_: Wire | None, condition: Wire) -> bool:
    return condition["status"] == "True" or not is_normal(condition)


# --- the table ------------------------------------------------------------------------------------------------------------

CONDITIONS: dict[str, ConditionType] = {
    each.type: each
    for each in (
        ConditionType("Ready", _ready, _ready_worth),
        ConditionType("RuntimeResolved", _runtime_resolved, _runtime_resolved_worth),
        ConditionType("Activating", _activating, _activating_worth, bad=None, event="Activating"),
        ConditionType("Scaled", _scaled, _scaled_worth),
        ConditionType("Prewarmed", _prewarmed, _prewarmed_worth),
    )
}
"""By type, in the order of the status. No status of `Activating` is trouble: it is True while a start goes on."""
