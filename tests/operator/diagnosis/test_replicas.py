"""Replicas: the one that is furthest, the worst first, and replacements of pods that ended."""

from __future__ import annotations

from hearth.operator.status.service_status import service_status
from tests.operator.observations import (
    LOADING,
    conditions,
    deployment,
    node,
    observation,
    ready_pod,
    seen,
    unscheduled,
)


def test_a_loading_replica_counts_for_more_than_one_that_waits() -> None:
    waiting = unscheduled("0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator.", name="tiny-2")
    phase, found = seen(observation(deployment=deployment(2), pods=[waiting, LOADING], nodes=[node(devices=1)]))
    assert (phase, found["Ready"]["reason"]) == ("Loading", "Loading")
    assert found["Scaled"]["reason"] == "InsufficientAccelerators"


def test_a_replica_that_ends_is_none() -> None:
    ending = {**ready_pod(), "metadata": {"name": "tiny-0", "deletionTimestamp": "2026-11-24T00:59:00Z"}}
    status = service_status(observation(deployment=deployment(1), pods=[ending]))
    assert (status["phase"], status["replicas"]) == ("Pending", 0)
    assert "once the previous one has terminated" in conditions(status)["Ready"]["message"]


def test_a_deployment_without_replicas_wants_one() -> None:
    assert seen(observation(deployment=deployment(None)))[1]["Activating"]["status"] == "True"
