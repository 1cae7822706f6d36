"""The status of a service on the wire form, from what is observed of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from hearth.api import HearthError, LLMService
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import one_line
from hearth.operator.status.assessment import assess
from hearth.operator.status.conditions import LONGEST_MESSAGE, Finding, findings, phase, word_of
from hearth.planning import endpoint_url

Transition = tuple[str | None, str | None]
"""The status of a condition, and the time since when it has it."""


def service_status(observed: Observed) -> dict[str, Any]:
    """Return `.status`. It depends on `now` only where a condition's status changes."""
    assessment = assess(observed)
    status: dict[str, Any] = {"phase": phase(assessment), "replicas": assessment.ready}
    if observed.plan is not None and assessment.refusal is None:
        status["resolvedRuntime"] = observed.plan.runtime.metadata.name
    status["endpointURL"] = endpoint_url(observed.service)
    generation = observed.service.metadata.generation
    status["conditions"] = list(_wire(findings(assessment), _before(observed.service), generation, observed.now))
    return status


def unreadable_status(manifest: Mapping[str, Any], error: HearthError, now: datetime) -> dict[str, Any]:
    """Return the status of an LLMService that the API server stores and the models do not accept.

    It is older than its CRD, or the CRD is older than the operator.
    """
    metadata, old = manifest.get("metadata") or {}, manifest.get("status") or {}
    finding = Finding("False", word_of(error) or Reason.INVALID_SERVICE, f"the stored object is not valid: {error}")
    before = {
        condition.get("type"): (condition.get("status"), condition.get("lastTransitionTime"))
        for condition in old.get("conditions") or ()
    }
    both = (("Ready", finding), ("RuntimeResolved", finding))
    return {
        "phase": "Degraded",
        "replicas": int(old.get("replicas") or 0),
        "conditions": list(_wire(both, before, metadata.get("generation"), now)),
    }


def _before(service: LLMService) -> Mapping[str, Transition]:
    conditions = service.status.conditions if service.status is not None else ()
    return {condition.type: (condition.status, condition.last_transition_time) for condition in conditions}


def _wire(
    found: Iterable[tuple[str, Finding]], before: Mapping[str, Transition], generation: int | None, now: datetime
) -> Iterator[dict[str, Any]]:
    for kind, finding in found:
        status, since = before.get(kind, (None, None))
        condition: dict[str, Any] = {"type": kind, "status": finding.status}
        if generation is not None:
            condition["observedGeneration"] = generation
        condition["lastTransitionTime"] = since if status == finding.status and since else _rfc3339(now)
        condition["reason"] = str(finding.reason)
        condition["message"] = one_line(finding.message, LONGEST_MESSAGE)
        yield condition


def _rfc3339(now: datetime) -> str:
    """Return a time in whole seconds with `Z`, as Kubernetes writes its own."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
