"""Assessments: which errors refuse a service, and which only delay it."""

from __future__ import annotations

from hearth.api import HearthError
from hearth.operator.kubernetes.errors import BeingDeleted
from hearth.planning import PlanningError
from tests.operator.observations import (
    changed,
    deployment,
    observation,
    ready_pod,
    seen,
)


def test_a_refused_service_is_not_resolved_although_it_has_a_plan() -> None:
    refused = PlanningError("NameTaken", "metadata.name: 'a-backend' is taken", "choose another name")
    phase, found = seen(observation(error=refused))
    assert phase == "Degraded"
    assert (found["RuntimeResolved"]["status"], found["RuntimeResolved"]["reason"]) == ("False", "NameTaken")


def test_an_object_that_is_on_its_way_out_is_waited_for() -> None:
    error = BeingDeleted("BeingDeleted", "Deployment 'tiny' in 'ai' is being deleted")
    phase, found = seen(observation(error=error, deployment=None))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "BeingDeleted")
    assert found["Ready"]["message"].startswith(
        "Deployment 'tiny' in 'ai' is being deleted; the service's own object is created once"
    )
    look = observation(deployment=deployment(1), pods=[ready_pod()])
    assert seen(changed(look, error=error)) == seen(look), "an old Job that goes does not keep the model from answering"


def test_without_its_deployment_it_is_being_created() -> None:
    phase, found = seen(observation(deployment=None))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "Creating")


def test_what_cannot_be_applied_is_no_fault_of_the_runtime() -> None:
    phase, found = seen(observation(error=HearthError("deployments.apps is forbidden", "grant it")))
    assert phase == "Degraded"
    assert (found["Ready"]["reason"], found["RuntimeResolved"]["status"]) == ("ApplyFailed", "True")
