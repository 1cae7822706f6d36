"""Events: told on changes, once each, within what the API server takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.operator.diagnosis.observation import Observed
from hearth.operator.kubernetes.event_recorder import LONGEST_NOTE, EventDraft, bounded
from hearth.operator.status.events import status_events
from hearth.operator.status.service_status import service_status
from hearth.planning import PlanningError
from tests.operator.observations import (
    LOADING,
    again,
    changed,
    crash,
    deployment,
    ended,
    gateway,
    job,
    made,
    node,
    observation,
    observations,
    pod,
    prewarming,
    ready_pod,
    scaled_object,
    unscheduled,
    with_container,
)


def story(*looks: Observed) -> list[list[tuple[str, str]]]:
    """Return the Events after each observation."""
    told: list[list[tuple[str, str]]] = []
    status: dict[str, Any] = {}
    for look in looks:
        new = service_status(again(look, status) if status else look)
        told.append([(draft.type, draft.reason) for draft in status_events(status, new)])
        status = new
    return told


ASLEEP = observation()
WAKING = observation(deployment=deployment(1))
AWAKE = observation(deployment=deployment(1), pods=[ready_pod()])


def test_a_day_in_the_life() -> None:
    assert story(ASLEEP, ASLEEP, WAKING, changed(WAKING, pods=[LOADING]), AWAKE, AWAKE, ASLEEP) == [
        [("Normal", "ScaledToZero")],
        [],
        [("Normal", "Activating")],
        [],
        [("Normal", "Available")],
        [],
        [("Normal", "ScaledToZero")],
    ]


def test_a_crash_loop_is_told_once() -> None:
    """The kubelet's states take turns: waiting, running, ended, waiting. That is one trouble and not many."""
    waiting = changed(WAKING, pods=[crash()])
    running = with_container(restartCount=3, state={"running": {"startedAt": "x"}}, lastState=ended(1, "KeyError: 'a'"))
    over = with_container(restartCount=4, state=ended(1, "KeyError: 'a'"), lastState=ended(1, "KeyError: 'a'"))
    looks = [waiting, changed(WAKING, pods=[running]), changed(WAKING, pods=[over]), waiting]
    assert story(ASLEEP, *looks)[1:] == [
        [("Warning", "CrashLoopBackOff"), ("Normal", "Activating")],
        [],
        [],
        [],
    ]


def test_a_refused_service_is_one_warning() -> None:
    refused = changed(ASLEEP, plan=None, error=PlanningError("UnknownModelScheme", "m", "r"))
    assert story(refused, refused, ASLEEP) == [
        [("Warning", "UnknownModelScheme")],
        [],
        [("Normal", "ScaledToZero"), ("Normal", "RuntimeSelected")],
    ]


def test_a_trouble_that_moves_from_one_condition_to_another_is_told_once() -> None:
    """Before its gateway is there, only Scaled says that the pod finds no volume."""
    pods = [unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found")]
    early = observation(gateway=None, gateway_pods=(), deployment=deployment(1), pods=pods)
    assert story(early, changed(WAKING, pods=pods)) == [
        [("Normal", "Activating"), ("Warning", "VolumeNotBound")],
        [],
    ]


def test_too_few_devices_for_the_second_replica_and_enough_again() -> None:
    waiting = unscheduled("0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator.", name="tiny-2")
    limited = observation(deployment=deployment(2), pods=[ready_pod(), waiting], nodes=[node(devices=1)])
    many = observation(deployment=deployment(2), pods=[ready_pod(), ready_pod("tiny-2")])
    assert story(AWAKE, limited, many)[1:] == [
        [("Warning", "InsufficientAccelerators")],
        [("Normal", "MinimumReplicasAvailable")],
    ]


def test_a_pod_that_a_node_rejects_is_a_warning_although_another_one_starts() -> None:
    message = "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000, used: 2000, capacity: 4000"
    rejected = pod("tiny-0", phase="Failed", reason="OutOfcpu", message=message)
    looks = [changed(WAKING, pods=[rejected, LOADING]), changed(WAKING, pods=[rejected, ready_pod()])]
    assert story(ASLEEP, WAKING, *looks)[1:] == [
        [("Normal", "Activating")],
        [("Warning", "OutOfcpu")],
        [("Normal", "Available"), ("Normal", "MinimumReplicasAvailable")],
    ]


def test_pausing_by_hand_and_letting_go() -> None:
    paused = observation(
        deployment=deployment(1),
        pods=[ready_pod()],
        scaled_object=scaled_object(annotations={"autoscaling.keda.sh/paused": "true"}),
    )
    assert story(AWAKE, paused, AWAKE)[1:] == [
        [("Warning", "ScaledObjectPaused")],
        [("Normal", "MinimumReplicasAvailable")],
    ]


def test_a_gateway_that_restarts_is_not_told_once_for_every_service() -> None:
    for look in (ASLEEP, AWAKE):
        starting = changed(look, gateway=gateway(readyReplicas=0, availableReplicas=0), gateway_pods=())
        assert story(look, starting, look)[1:] == [[], []]


def test_a_prewarm_that_fails_and_one_that_works() -> None:
    failed = prewarming(prewarm=job("Failed", "limit"))
    done = prewarming(prewarm=job("Complete"))
    assert story(prewarming(prewarm=job()), failed, done)[1:] == [
        [("Warning", "PrewarmFailed")],
        [("Normal", "Prewarmed")],
    ]


def test_another_runtime_is_told() -> None:
    old = {**service_status(AWAKE), "resolvedRuntime": "vllm-other"}
    assert status_events(old, service_status(AWAKE)) == (
        EventDraft("Normal", "RuntimeChanged", "the service uses runtime vllm-fake instead of vllm-other"),
    )


def test_deletion_is_not_told_because_nobody_is_left_to_read_it() -> None:
    assert story(AWAKE, observation(made(deletion_timestamp="2026-11-24T00:59:00Z")))[1] == []


@given(observations())
def test_nothing_is_told_twice(observed: Observed) -> None:
    status = service_status(observed)
    assert status_events(status, status) == ()
    reworded = {**status, "conditions": [{**at, "message": "other words"} for at in status["conditions"]]}
    assert status_events(status, reworded) == ()


@given(observations(), observations())
def test_every_event_is_one_that_the_api_server_takes(before: Observed, after: Observed) -> None:
    drafts = status_events(service_status(before), service_status(after))
    assert len({draft.reason for draft in drafts}) == len(drafts) <= 6
    for draft in drafts:
        assert 0 < len(draft.note.encode()) <= LONGEST_NOTE
        assert 0 < len(draft.reason) <= 128
        assert draft.type in ("Normal", "Warning")


@pytest.mark.parametrize("text", ["é" * 600, "e" * 2000, "\U0001f600" * 300, "e" * 1024])
def test_notes_are_bounded_in_bytes(text: str) -> None:
    note = bounded(text)
    assert len(note.encode()) <= LONGEST_NOTE
    assert text.startswith(note.removesuffix("..."))


@given(st.text())
def test_a_short_note_stays(text: str) -> None:
    assert bounded(text[:256]) == text[:256]
