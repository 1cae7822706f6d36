"""The status of a service, from what is seen of it. Pure: the same observation gives the same status, whatever the time.

`Ready` means that requests are answered, now or after waking; `RuntimeResolved` that the service can be planned;
`Activating` that a replica is wanted and none is ready yet; `Scaled` that there are as many replicas as are wanted, and
that this number follows the demand. `Prewarmed` is there for services that ask for it. Only `Activating` is well when
it is False.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from hearth.api import HearthError, LLMService, format_duration
from hearth.api.metadata import Condition
from hearth.api.phase import Phase
from hearth.operator.diagnosis.diagnosis import Diagnosis
from hearth.operator.diagnosis.gateway import gateway_trouble
from hearth.operator.diagnosis.keda import scaler_trouble, waking_trouble
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.prewarm import prewarm_trouble
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import one_line, redact
from hearth.operator.diagnosis.replicas import first_starting, replica_troubles, wanted_replicas
from hearth.operator.kubernetes.errors import BeingDeleted
from hearth.planning import PlanningError
from hearth.planning.names import endpoint_url
from hearth.planning.prewarm import prewarm_job
from hearth.plugins import PluginError
from hearth.plugins.errors import VendorUnavailable

__all__ = ["Observed", "service_status", "unreadable_status", "waiting_notice"]

Truth = Literal["True", "False", "Unknown"]

LONGEST_MESSAGE = 1000
"""Characters of a condition's message: an Event, which has 1024, can say it whole."""

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_PHASES: Mapping[str, Phase] = {"starting": "Loading", "waiting": "Pending", "broken": "Degraded"}
_REFUSALS = (PlanningError, PluginError, VendorUnavailable)


@dataclass(frozen=True, slots=True)
class _Finding:
    """A condition before it has a time."""

    type: str
    status: Truth
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Assessment:
    """What follows from an observation before anything is said."""

    observed: Observed
    refusal: HearthError | None
    """The service cannot be planned or is refused."""
    error: HearthError | None
    """That, or why the plan cannot be applied."""
    missing: Diagnosis | None
    """Why there is no Deployment yet."""
    ready: int
    wanted: int
    troubles: tuple[Diagnosis, ...]
    gateway: Diagnosis | None
    scaler: Diagnosis | None
    waking: Diagnosis | None

    @property
    def start(self) -> Diagnosis:
        """What a service without a ready replica waits for."""
        return first_starting(self.troubles) or Diagnosis(Reason.CREATING, "its pod is being created", "waiting")


def service_status(observed: Observed) -> dict[str, Any]:
    """Return `.status` on the wire form. Depends on `now` only where a condition's `status` changes."""
    assessment = _assess(observed)
    phase, ready = _ready(assessment)
    findings = [ready, _resolved(assessment), _activating(assessment), _scaled(assessment), *_prewarmed(assessment)]
    status: dict[str, Any] = {"phase": phase, "replicas": assessment.ready}
    if observed.plan is not None and assessment.refusal is None:
        status["resolvedRuntime"] = observed.plan.runtime.metadata.name
    status["endpointURL"] = endpoint_url(observed.service)
    status["conditions"] = list(_timed(findings, observed))
    return status


def unreadable_status(manifest: Mapping[str, Any], error: HearthError, now: datetime) -> dict[str, Any]:
    """Return the status of an LLMService that the API server holds and today's models do not accept: it is older than
    its CRD, or the CRD is older than the operator."""
    metadata, old = manifest.get("metadata") or {}, manifest.get("status") or {}
    message = f"the object is not valid: {error}"
    reason = _word(error) or Reason.INVALID_SERVICE
    finding = _Finding("Ready", "False", reason, message)
    resolved = _Finding("RuntimeResolved", "False", reason, message)
    before = {
        condition.get("type"): (condition.get("status"), condition.get("lastTransitionTime"))
        for condition in old.get("conditions") or ()
    }
    return {
        "phase": "Degraded",
        "replicas": int(old.get("replicas") or 0),
        "conditions": [
            _wire(each, before.get(each.type), metadata.get("generation"), now) for each in (finding, resolved)
        ],
    }


def waiting_notice(observed: Observed) -> str | None:
    """Return a short sentence for clients that wait for this service, None when all is normal.

    A client may be anybody: it learns neither names of others nor of nodes, images or secrets.
    """
    if observed.service.metadata.deletion_timestamp:
        return "the service is being deleted"
    assessment = _assess(observed)
    if assessment.ready:
        return None
    if assessment.error is not None:
        return "the service cannot be run as it is configured; its owner finds the reason in its status"
    if assessment.wanted:
        return assessment.start.notice
    return assessment.waking.notice if assessment.waking is not None else None


def _assess(observed: Observed) -> _Assessment:
    error = observed.error
    refusal = error if observed.plan is None or isinstance(error, _REFUSALS) else None
    waits = isinstance(error, BeingDeleted)
    return _Assessment(
        observed=observed,
        refusal=refusal,
        error=error if refusal is not None or not waits else None,
        missing=_missing(error if waits else None) if observed.deployment is None else None,
        ready=sum(1 for pod in observed.pods if pod.is_ready),
        wanted=wanted_replicas(observed.deployment),
        troubles=replica_troubles(observed),
        gateway=gateway_trouble(observed),
        scaler=scaler_trouble(observed),
        waking=waking_trouble(observed),
    )


def _missing(error: HearthError | None) -> Diagnosis:
    if error is not None:
        return Diagnosis(Reason.BEING_DELETED, f"{error}; its own is created when that is gone", "waiting")
    return Diagnosis(Reason.CREATING, "its objects are being created", "waiting")


# --- conditions -----------------------------------------------------------------------------------------------------------


def _ready(assessment: _Assessment) -> tuple[Phase, _Finding]:
    observed = assessment.observed
    if observed.service.metadata.deletion_timestamp:
        return "Pending", _Finding(
            "Ready", "False", Reason.TERMINATING, "it is being deleted with all that belongs to it"
        )
    if assessment.error is not None:
        return "Degraded", _Finding(
            "Ready", "False", _reason(assessment.error), _error_message(assessment, assessment.error)
        )
    trouble = assessment.gateway or assessment.missing
    if trouble is None and not assessment.wanted:
        trouble = assessment.waking
        if trouble is None:
            return "ScaledToZero", _Finding("Ready", "True", Reason.SCALED_TO_ZERO, _asleep(assessment))
    if trouble is None and assessment.ready:
        return "Ready", _Finding("Ready", "True", Reason.AVAILABLE, "requests are answered at once")
    trouble = trouble or assessment.start
    return _PHASES[trouble.stage], _Finding("Ready", "False", trouble.reason, trouble.message)


def _asleep(assessment: _Assessment) -> str:
    cold = assessment.observed.service.spec.endpoint.cold_start.mode
    what = "the next request starts a replica" + ("" if cold == "keepalive" else " and is answered with 503 until then")
    ending = any(pod.is_ending for pod in assessment.observed.pods)
    holds = "will hold no accelerator once the last replica has ended" if ending else "holds no accelerator"
    return f"it sleeps and {holds}; {what}"


def _error_message(assessment: _Assessment, error: HearthError) -> str:
    before = "; replicas of the time before this change still run" if assessment.refusal and assessment.ready else ""
    words = str(error) if isinstance(error, _REFUSALS) else redact(str(error), LONGEST_MESSAGE)
    return f"{words}{before}"


def _resolved(assessment: _Assessment) -> _Finding:
    observed, plan = assessment.observed, assessment.observed.plan
    if assessment.refusal is not None:
        return _Finding("RuntimeResolved", "False", _reason(assessment.refusal), str(assessment.refusal))
    if plan is None:
        return _Finding("RuntimeResolved", "Unknown", Reason.NOT_PLANNED, "it has not been looked at yet")
    notes = [*plan.warnings, *observed.warnings]
    said = f"runtime {plan.runtime.metadata.name} of vendor {plan.vendor.name}"
    if notes:
        said += f"; mind: {'; '.join(notes)}"
    return _Finding("RuntimeResolved", "True", Reason.RUNTIME_SELECTED, said)


def _activating(assessment: _Assessment) -> _Finding:
    observed = assessment.observed
    if observed.service.metadata.deletion_timestamp:
        return _Finding("Activating", "False", Reason.TERMINATING, "it is being deleted")
    if observed.plan is None:
        return _Finding("Activating", "False", Reason.NOT_PLANNED, "see the condition RuntimeResolved")
    if assessment.ready:
        return _Finding("Activating", "False", Reason.AVAILABLE, "a replica is ready")
    if not assessment.wanted:
        return _Finding("Activating", "False", Reason.SCALED_TO_ZERO, "no replica is wanted")
    start = assessment.start
    return _Finding("Activating", "True", start.reason, f"a replica is wanted: {start.message}; {_patience(observed)}")


def _patience(observed: Observed) -> str:
    scaling, cold = observed.service.spec.scaling, observed.service.spec.endpoint.cold_start
    wait = format_duration(scaling.activation_timeout.seconds)
    if cold.mode == "reject":
        return "requests are answered with 503 until it is ready"
    return f"requests wait for it, each for at most {wait}"


def _scaled(assessment: _Assessment) -> _Finding:
    observed, scaler = assessment.observed, assessment.scaler
    if observed.service.metadata.deletion_timestamp:
        return _Finding("Scaled", "Unknown", Reason.TERMINATING, "it is being deleted")
    if observed.plan is None or assessment.refusal is not None:
        return _Finding("Scaled", "Unknown", Reason.NOT_PLANNED, "see the condition RuntimeResolved")
    if scaler is not None and scaler.reason != Reason.SCALED_OBJECT_PENDING:
        return _Finding("Scaled", "False", scaler.reason, scaler.message)
    if assessment.ready < assessment.wanted:
        trouble = assessment.troubles[0] if assessment.troubles else assessment.start
        count = f"{assessment.ready} of {assessment.wanted} wanted replicas {'is' if assessment.ready == 1 else 'are'} ready"
        why = f": {trouble.message}" if assessment.ready else "; Activating says what the first one waits for"
        return _Finding("Scaled", "False", trouble.reason, f"{count}{why}")
    if scaler is not None:
        return _Finding("Scaled", "Unknown", scaler.reason, scaler.message)
    if not assessment.wanted:
        return _Finding("Scaled", "True", Reason.SCALED_TO_ZERO, "no replica is wanted")
    many = "1 replica is" if assessment.wanted == 1 else f"{assessment.wanted} replicas are"
    return _Finding("Scaled", "True", Reason.MINIMUM_REPLICAS_AVAILABLE, f"{many} wanted and ready")


def _prewarmed(assessment: _Assessment) -> Iterator[_Finding]:
    plan = assessment.observed.plan
    if plan is None or assessment.refusal is not None or prewarm_job(plan) is None:
        return
    trouble = prewarm_trouble(assessment.observed)
    if trouble is None:
        yield _Finding("Prewarmed", "True", Reason.PREWARMED, "the weights are downloaded")
    else:
        yield _Finding("Prewarmed", "False", trouble.reason, trouble.message)


# --- wire -----------------------------------------------------------------------------------------------------------------


def _reason(error: HearthError) -> str:
    return _word(error) or (Reason.INVALID_SERVICE if isinstance(error, _REFUSALS) else Reason.APPLY_FAILED)


def _word(error: HearthError) -> str:
    """The error's own word, if it has one that a condition can have."""
    word = getattr(error, "reason", "")
    return word if isinstance(word, str) and len(word) <= 128 and _REASON.fullmatch(word) else ""


def _timed(findings: Sequence[_Finding], observed: Observed) -> Iterator[dict[str, Any]]:
    before = {
        condition.type: (condition.status, condition.last_transition_time) for condition in _old(observed.service)
    }
    for finding in findings:
        yield _wire(finding, before.get(finding.type), observed.service.metadata.generation, observed.now)


def _old(service: LLMService) -> tuple[Condition, ...]:
    return service.status.conditions if service.status is not None else ()


def _wire(
    finding: _Finding, before: tuple[str | None, str | None] | None, generation: int | None, now: datetime
) -> dict[str, Any]:
    since = before[1] if before is not None and before[0] == finding.status and before[1] else _rfc3339(now)
    condition: dict[str, Any] = {"type": finding.type, "status": finding.status}
    if generation is not None:
        condition["observedGeneration"] = generation
    return condition | {
        "lastTransitionTime": since,
        "reason": str(finding.reason),
        "message": one_line(finding.message, LONGEST_MESSAGE),
    }


def _rfc3339(now: datetime) -> str:
    """Whole seconds and `Z`, as Kubernetes writes its own times."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
