"""Conditions: what each of them says, and that adding one touches one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hearth.api import HearthError
from hearth.operator.kubernetes.event_recorder import EventDraft
from hearth.operator.metrics import Metrics
from hearth.operator.status.assessment import Assessment
from hearth.operator.status.conditions import CONDITIONS, ConditionType, Finding, Wire, is_trouble
from hearth.operator.status.events import status_events
from hearth.operator.status.notice import waiting_notice
from hearth.operator.status.service_status import service_status
from hearth.planning import PlanningError
from tests.operator.observations import (
    ERRORS,
    again,
    changed,
    conditions,
    deployment,
    job,
    made,
    node,
    observation,
    prewarming,
    ready_pod,
    seen,
    unscheduled,
)


def test_asleep_is_ready_because_the_next_request_is_answered() -> None:
    status = service_status(observation())
    assert status["phase"] == "ScaledToZero"
    assert status["replicas"] == 0
    assert status["resolvedRuntime"] == "vllm-fake"
    assert status["endpointURL"] == "http://tiny.ai.svc/v1"
    found = conditions(status)
    assert {kind: (at["status"], at["reason"]) for kind, at in found.items()} == {
        "Ready": ("True", "ScaledToZero"),
        "RuntimeResolved": ("True", "RuntimeSelected"),
        "Activating": ("False", "ScaledToZero"),
        "Scaled": ("True", "ScaledToZero"),
    }
    assert "the next request starts a replica" in found["Ready"]["message"]


def test_asleep_in_reject_mode_says_what_a_request_gets() -> None:
    _, found = seen(observation(made({"endpoint": {"coldStart": {"mode": "reject"}}})))
    assert "and is rejected with 503 until that is ready" in found["Ready"]["message"]


def test_asleep_while_the_last_replica_ends() -> None:
    _, found = seen(
        observation(pods=[{**ready_pod(), "metadata": {"name": "a", "deletionTimestamp": "2026-11-24T00:59:00Z"}}])
    )
    assert found["Ready"]["reason"] == "ScaledToZero"
    assert "once the last replica has terminated" in found["Ready"]["message"]


def test_more_replicas_than_devices_stay_ready_and_say_so() -> None:
    waiting = unscheduled("0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator.", name="tiny-2")
    observed = observation(deployment=deployment(2), pods=[ready_pod(), waiting], nodes=[node(devices=1)])
    status = service_status(observed)
    found = conditions(status)
    assert (status["phase"], status["replicas"]) == ("Ready", 1)
    assert found["Ready"]["status"] == "True"
    assert found["Activating"]["status"] == "False"
    assert (found["Scaled"]["status"], found["Scaled"]["reason"]) == ("False", "InsufficientAccelerators")
    assert found["Scaled"]["message"].startswith(
        "1 of 2 desired replicas is ready: all 1 hearth.dev/fake-accelerator are in use (1 by this service);"
    )
    assert waiting_notice(observed) is None


@pytest.mark.parametrize(("error", "reason"), ERRORS, ids=[reason for _, reason in ERRORS])
def test_a_service_that_cannot_be_planned(error: HearthError, reason: str) -> None:
    reason = reason if reason != "InvalidService" else "ApplyFailed"
    observed = observation(plan := made(), error=error)
    observed = changed(observed, plan=None)
    status = service_status(observed)
    found = conditions(status)
    assert status["phase"] == "Degraded"
    assert "resolvedRuntime" not in status
    assert (found["RuntimeResolved"]["status"], found["RuntimeResolved"]["reason"]) == ("False", reason)
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", reason)
    assert found["Ready"]["message"] == " ".join(str(error).split())
    assert found["Activating"]["status"] == "False"
    assert found["Scaled"]["status"] == "Unknown"
    notice = waiting_notice(observed)
    assert notice is not None
    assert error.message not in notice
    assert plan.runtime.metadata.name not in notice


def test_an_edit_that_cannot_be_planned_says_that_the_old_replicas_go_on() -> None:
    observed = changed(observation(error=ERRORS[0][0], deployment=deployment(1), pods=[ready_pod()]), plan=None)
    status = service_status(observed)
    assert (status["phase"], status["replicas"]) == ("Degraded", 1)
    assert "replicas from before this change are still running" in conditions(status)["Ready"]["message"]
    assert waiting_notice(observed) is None


def test_an_error_with_a_word_that_no_condition_may_have() -> None:
    for word in ("two words", "", "1st", "x" * 200, None):
        error = PlanningError("Fine", "m", "r")
        error.reason = word  # type: ignore[assignment]
        assert seen(observation(error=error))[1]["Ready"]["reason"] == "InvalidService"


def test_warnings_of_the_plan_and_the_namespace_are_told() -> None:
    plan = made({"scaling": {"target": 5, "scaleDownStabilization": "5m", "min": 1}})
    observed = observation(plan, warnings=("spec.endpoint.aliases: 'x' has no effect: it leads to LLMService 'older'",))
    message = seen(observed)[1]["RuntimeResolved"]["message"]
    assert message.startswith("the service uses runtime vllm-fake (vendor fake). Warnings: ")
    assert "spec.scaling.target has no effect: there is 1 replica at any demand" in message
    assert "scaleDownStabilization" not in message, "an API server fills in every default"
    assert "leads to LLMService 'older'" in message


def test_prewarm_has_a_condition_where_it_is_asked_for() -> None:
    assert "Prewarmed" not in seen(observation())[1]
    for observed, status, reason in (
        (prewarming(), "False", "Prewarming"),
        (prewarming(prewarm=job()), "False", "Prewarming"),
        (prewarming(prewarm=job("Complete")), "True", "Prewarmed"),
        (prewarming(prewarm=job("Failed", "Job has reached the specified backoff limit")), "False", "PrewarmFailed"),
    ):
        phase, found = seen(observed)
        assert (found["Prewarmed"]["status"], found["Prewarmed"]["reason"]) == (status, reason)
        assert phase == "ScaledToZero", "a service without its weights still wakes, and downloads them then"


def test_adding_a_condition_touches_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status, Events and metrics know it from the table, and its bad status too."""

    def find(assessment: Assessment) -> Finding | None:
        licensed = bool(assessment.observed.warnings)
        return Finding("False" if licensed else "True", "LicenceAccepted" if licensed else "LicenceMissing", "words")

    def worth(_: Wire | None, condition: Wire) -> bool:
        return condition["status"] == "True"

    monkeypatch.setitem(CONDITIONS, "Unlicensed", ConditionType("Unlicensed", find, worth, bad="True"))
    status = service_status(observation())
    assert conditions(status)["Unlicensed"]["reason"] == "LicenceMissing"
    assert EventDraft("Warning", "LicenceMissing", "words") in status_events({}, status)
    metrics = Metrics()
    metrics.status("ai", "tiny", status)
    assert metrics.services["ai", "tiny"][1] == (("Unlicensed", "LicenceMissing"),)

    well = service_status(again(observation(), status, warnings=("w",)))
    assert conditions(well)["Unlicensed"]["status"] == "False"
    assert not status_events(status, well)
    metrics.status("ai", "tiny", well)
    assert metrics.services["ai", "tiny"][1] == ()


def test_the_documentation_lists_every_condition() -> None:
    text = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    [table] = re.findall(r"^\| condition \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == [*CONDITIONS]


def test_a_start_is_no_trouble_in_metrics() -> None:
    found = seen(observation(deployment=deployment(1)))[1]
    assert found["Activating"]["status"] == "True"
    assert [kind for kind, at in found.items() if is_trouble(at)] == ["Ready", "Scaled"]
    asleep = seen(observation())[1]
    assert (asleep["Activating"]["status"], [kind for kind, at in asleep.items() if is_trouble(at)]) == ("False", [])
    assert not is_trouble({"type": "SomebodyElses", "status": "False"})
