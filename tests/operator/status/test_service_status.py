"""The status of a service: phase, replicas, times, and the laws that hold for every status."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from hearth.api import HearthError, LLMService
from hearth.api.crd import crds
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.status.notice import waiting_notice
from hearth.operator.status.service_status import service_status, unreadable_status
from tests.operator.observations import (
    ERRORS,
    LOADING,
    NOW,
    again,
    changed,
    conditions,
    crash,
    deployment,
    ended,
    made,
    observation,
    observations,
    pod,
    ready_pod,
    seen,
    with_container,
)


def test_a_wake_goes_from_pending_over_loading_to_ready() -> None:
    waking = observation(deployment=deployment(1))
    phase, found = seen(waking)
    assert (phase, found["Ready"]["status"], found["Ready"]["reason"]) == ("Pending", "False", "Creating")
    assert (found["Activating"]["status"], found["Scaled"]["status"]) == ("True", "False")
    assert found["Scaled"]["message"].startswith("0 of 1 desired replicas are ready; the condition Activating says")

    phase, found = seen(changed(waking, pods=[pod(node=None, phase="Pending")]))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "Scheduling")

    phase, found = seen(changed(waking, pods=[with_container(state={"waiting": {"reason": "ContainerCreating"}})]))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "ContainerCreating")

    phase, found = seen(changed(waking, pods=[LOADING]))
    assert (phase, found["Activating"]["reason"]) == ("Loading", "Loading")
    assert "startup probe allows 10m0s" in found["Activating"]["message"]
    assert "requests are held until one is ready, each for at most 5m0s" in found["Activating"]["message"]

    started = with_container(started=True, state={"running": {"startedAt": "2026-11-24T00:59:00Z"}})
    phase, found = seen(changed(waking, pods=[started]))
    assert (phase, found["Ready"]["reason"]) == ("Loading", "ContainersNotReady")

    status = service_status(changed(waking, pods=[ready_pod()]))
    found = conditions(status)
    assert (status["phase"], status["replicas"]) == ("Ready", 1)
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("True", "Available")
    assert (found["Activating"]["status"], found["Activating"]["reason"]) == ("False", "Available")
    assert (found["Scaled"]["status"], found["Scaled"]["reason"]) == ("True", "MinimumReplicasAvailable")


def test_ready_again_after_a_crash() -> None:
    crashed = observation(deployment=deployment(1), pods=[crash()])
    assert seen(crashed)[0] == "Degraded"
    well = {**ready_pod()}
    well["status"]["containerStatuses"][0] |= {"restartCount": 4, "lastState": ended(1, "KeyError: 'a'")}
    assert seen(changed(crashed, pods=[well]))[0] == "Ready"


def test_deletion() -> None:
    plan = made(deletion_timestamp="2026-11-24T00:59:00Z")
    observed = observation(plan, deployment=deployment(1), pods=[ready_pod()])
    phase, found = seen(observed)
    assert phase == "Pending"
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "Terminating")
    assert waiting_notice(observed) == "the service is being deleted"


def test_an_object_that_the_models_refuse() -> None:
    old = {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    manifest = {"metadata": {"name": "tiny", "generation": 2}, "spec": {"bad": 1}, "status": old}
    status = unreadable_status(manifest, HearthError("spec.bad: unknown field", "remove it"), NOW)
    found = conditions(status)
    assert status["phase"] == "Degraded"
    assert found["Ready"]["reason"] == "InvalidService"
    assert found["Ready"]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert found["Ready"]["observedGeneration"] == 2
    assert "spec.bad: unknown field; remove it" in found["Ready"]["message"]
    check(status)


@given(observations(), st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400)))
def test_the_same_observation_gives_the_same_status_at_any_time(observed: Observed, later: timedelta) -> None:
    first = service_status(observed)
    second = service_status(again(observed, first, now=NOW + later))
    assert json.dumps(second) == json.dumps(first)


@given(observations(), observations(), st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=4)))
def test_a_transition_has_the_time_of_the_look_that_saw_it(before: Observed, after: Observed, later: timedelta) -> None:
    old = conditions(service_status(before))
    new = conditions(service_status(again(after, service_status(before), now=NOW + later)))
    for kind, condition in new.items():
        moved = kind not in old or old[kind]["status"] != condition["status"]
        assert (condition["lastTransitionTime"] != "2026-11-24T01:00:00Z") == moved


@given(observations())
def test_every_status_is_one_that_the_api_server_takes(observed: Observed) -> None:
    check(service_status(observed))


@given(observations())
def test_phase_and_conditions_tell_the_same_story(observed: Observed) -> None:
    phase, found = seen(observed)
    assert (phase in ("Ready", "ScaledToZero")) == (found["Ready"]["status"] == "True")
    assert list(found)[:4] == ["Ready", "RuntimeResolved", "Activating", "Scaled"]
    known = {str(reason) for reason in Reason} | {reason for _, reason in ERRORS}
    assert {condition["reason"] for condition in found.values()} <= known


@cache
def schema() -> Mapping[str, Any]:
    crd = next(crd for crd in crds() if crd["spec"]["names"]["kind"] == "LLMService")
    found: Mapping[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return found


def check(status: Mapping[str, Any]) -> None:
    """By the CRD, by the models, and by the rules of Kubernetes' own Condition (meta/v1), which are narrower."""
    jsonschema.validate(status, schema())
    LLMService.model_validate({**made().service.to_wire(), "status": status})
    types = [condition["type"] for condition in status["conditions"]]
    assert len(types) == len(set(types))
    for condition in status["conditions"]:
        assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", condition["reason"])
        assert len(condition["reason"]) <= 128
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", condition["lastTransitionTime"])
        assert 0 < len(condition["message"]) <= 1000
        assert condition["message"].isprintable()
        assert condition["observedGeneration"] >= 0
