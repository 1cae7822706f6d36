"""KEDA: absent, not ready, paused by hand."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.status.notice import waiting_notice
from tests.operator.observations import (
    deployment,
    observation,
    ready_pod,
    scaled_object,
    seen,
)


def test_keda_absent_and_asleep_cannot_wake() -> None:
    observed = observation(keda=False, scaled_object=None)
    phase, found = seen(observed)
    assert phase == "Degraded"
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "KEDANotInstalled")
    assert "install KEDA 2.20.2 or later, and the operator creates the ScaledObject" in found["Ready"]["message"]
    assert waiting_notice(observed) == "the cluster's autoscaler is not installed"


def test_keda_absent_and_awake_answers_but_does_not_scale() -> None:
    phase, found = seen(observation(keda=False, scaled_object=None, deployment=deployment(1), pods=[ready_pod()]))
    assert phase == "Ready"
    assert (found["Scaled"]["status"], found["Scaled"]["reason"]) == ("False", "KEDANotInstalled")


def test_a_scaled_object_that_was_never_ready_waits_and_one_that_was_is_broken() -> None:
    new = scaled_object("False", "ScaledObjectCheckFailed", "failed to ensure HPA: no metric specs returned")
    del new["status"]["hpaName"]
    phase, found = seen(observation(scaled_object=new))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "ScaledObjectNotReady")
    assert "no metric specs returned" in found["Ready"]["message"]
    old = scaled_object("False", "TriggerError", "Triggers defined in ScaledObject are not working correctly")
    phase, found = seen(observation(scaled_object=old))
    assert (phase, found["Ready"]["reason"], found["Scaled"]["reason"]) == (
        "Degraded",
        "ScaledObjectNotReady",
        "ScaledObjectNotReady",
    )


@pytest.mark.parametrize(
    "scaled", [None, scaled_object(None), scaled_object("Unknown", "")], ids=["none", "new", "unknown"]
)
def test_a_scaled_object_that_keda_has_not_looked_at(scaled: Any) -> None:
    phase, found = seen(observation(scaled_object=scaled))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "ScaledObjectPending")
    assert found["Scaled"]["status"] == "Unknown"


def test_a_trigger_that_fails_while_another_works_is_named() -> None:
    partial = scaled_object(
        "Unknown", "PartialTriggerError", "Some triggers defined in ScaledObject are not working correctly"
    )
    _, found = seen(observation(scaled_object=partial, deployment=deployment(1), pods=[ready_pod()]))
    assert (found["Ready"]["status"], found["Scaled"]["reason"]) == ("True", "ScaledObjectNotReady")


@pytest.mark.parametrize(
    ("annotation", "value", "wakes"),
    [
        ("paused", "true", False),
        ("paused", "yes please", False),
        ("paused", "false", True),
        ("paused-replicas", "0", False),
        ("paused-replicas", "3", False),
        ("paused-scale-out", "true", False),
        ("paused-scale-in", "true", True),
        ("force-activation", "true", True),
    ],
)
def test_a_scaled_object_that_was_paused_by_hand(annotation: str, value: str, *, wakes: bool) -> None:
    name = f"autoscaling.keda.sh/{annotation}"
    phase, found = seen(observation(scaled_object=scaled_object(annotations={name: value})))
    assert (phase == "ScaledToZero") == wakes
    if value == "false":
        assert found["Scaled"]["status"] == "True"
        return
    assert (found["Scaled"]["status"], found["Scaled"]["reason"]) == ("False", "ScaledObjectPaused")
    assert f"kubectl annotate scaledobject -n ai tiny {name}-" in found["Scaled"]["message"]
