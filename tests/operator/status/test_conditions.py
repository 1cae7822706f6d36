"""Phase, replicas and conditions of a service in all its states, and the laws that hold for all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.api import HearthError, LLMService
from hearth.api.crd import crds
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.kubernetes.errors import BeingDeleted
from hearth.operator.status.conditions import service_status, unreadable_status, waiting_notice
from hearth.planning import PlanningError
from hearth.plugins import PluginError
from hearth.plugins.errors import VendorUnavailable
from tests.operator.observations import (
    NOW,
    again,
    changed,
    conditions,
    deployment,
    ended,
    gateway,
    made,
    node,
    observation,
    pod,
    ready_pod,
    scaled_object,
    seen,
    unscheduled,
    with_container,
)

LOADING = with_container(state={"running": {"startedAt": "2026-11-24T00:59:00Z"}})


def crash(name: str = "tiny-1", message: str = "KeyError: 'a'", restarts: int = 3) -> dict[str, Any]:
    return with_container(
        name,
        restartCount=restarts,
        state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        lastState=ended(1, message),
    )


# --- phases ---------------------------------------------------------------------------------------------------------------


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
    assert "answered with 503 until then" in found["Ready"]["message"]


def test_asleep_while_the_last_replica_ends() -> None:
    _, found = seen(
        observation(pods=[{**ready_pod(), "metadata": {"name": "a", "deletionTimestamp": "2026-11-24T00:59:00Z"}}])
    )
    assert found["Ready"]["reason"] == "ScaledToZero"
    assert "once the last replica has ended" in found["Ready"]["message"]


def test_a_wake_goes_from_pending_over_loading_to_ready() -> None:
    waking = observation(deployment=deployment(1))
    phase, found = seen(waking)
    assert (phase, found["Ready"]["status"], found["Ready"]["reason"]) == ("Pending", "False", "Creating")
    assert (found["Activating"]["status"], found["Scaled"]["status"]) == ("True", "False")
    assert found["Scaled"]["message"].startswith("0 of 1 wanted replicas are ready; Activating says")

    phase, found = seen(changed(waking, pods=[pod(node=None, phase="Pending")]))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "Scheduling")

    phase, found = seen(changed(waking, pods=[with_container(state={"waiting": {"reason": "ContainerCreating"}})]))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "ContainerCreating")

    phase, found = seen(changed(waking, pods=[LOADING]))
    assert (phase, found["Activating"]["reason"]) == ("Loading", "Loading")
    assert "startup probe allows 10m0s" in found["Activating"]["message"]
    assert "requests wait for it, each for at most 5m0s" in found["Activating"]["message"]

    started = with_container(started=True, state={"running": {"startedAt": "2026-11-24T00:59:00Z"}})
    phase, found = seen(changed(waking, pods=[started]))
    assert (phase, found["Ready"]["reason"]) == ("Loading", "ContainersNotReady")

    status = service_status(changed(waking, pods=[ready_pod()]))
    found = conditions(status)
    assert (status["phase"], status["replicas"]) == ("Ready", 1)
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("True", "Available")
    assert (found["Activating"]["status"], found["Activating"]["reason"]) == ("False", "Available")
    assert (found["Scaled"]["status"], found["Scaled"]["reason"]) == ("True", "MinimumReplicasAvailable")


def test_a_deployment_without_replicas_wants_one() -> None:
    assert seen(observation(deployment=deployment(None)))[1]["Activating"]["status"] == "True"


def test_ready_again_after_a_crash() -> None:
    crashed = observation(deployment=deployment(1), pods=[crash()])
    assert seen(crashed)[0] == "Degraded"
    well = {**ready_pod()}
    well["status"]["containerStatuses"][0] |= {"restartCount": 4, "lastState": ended(1, "KeyError: 'a'")}
    assert seen(changed(crashed, pods=[well]))[0] == "Ready"


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
        "1 of 2 wanted replicas is ready: all 1 hearth.dev/fake-accelerator are in use (1 by this service);"
    )
    assert waiting_notice(observed) is None


def test_a_loading_replica_counts_for_more_than_one_that_waits() -> None:
    waiting = unscheduled("0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator.", name="tiny-2")
    phase, found = seen(observation(deployment=deployment(2), pods=[waiting, LOADING], nodes=[node(devices=1)]))
    assert (phase, found["Ready"]["reason"]) == ("Loading", "Loading")
    assert found["Scaled"]["reason"] == "InsufficientAccelerators"


def test_a_replica_that_ends_is_none() -> None:
    ending = {**ready_pod(), "metadata": {"name": "tiny-0", "deletionTimestamp": "2026-11-24T00:59:00Z"}}
    status = service_status(observation(deployment=deployment(1), pods=[ending]))
    assert (status["phase"], status["replicas"]) == ("Pending", 0)
    assert "when the one before it has ended" in conditions(status)["Ready"]["message"]


def test_deletion() -> None:
    plan = made(deletion_timestamp="2026-11-24T00:59:00Z")
    observed = observation(plan, deployment=deployment(1), pods=[ready_pod()])
    phase, found = seen(observed)
    assert phase == "Pending"
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "Terminating")
    assert waiting_notice(observed) == "the service is being deleted"


# --- errors ---------------------------------------------------------------------------------------------------------------

ERRORS: list[tuple[HearthError, str]] = [
    (
        PlanningError("UnknownModelScheme", "spec.model.source.uri: 'x' has no scheme", "use hf://"),
        "UnknownModelScheme",
    ),
    (PluginError(vendor="v", distribution="d", version="1", hook="h", problem="p"), "PluginFailed"),
    (VendorUnavailable("v", "no plugin serves 'v'", "pip install hearth-v"), "UnsupportedVendor"),
    (HearthError("it is broken", "mend it"), "InvalidService"),
]


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


def test_a_refused_service_is_not_resolved_although_it_has_a_plan() -> None:
    refused = PlanningError("NameTaken", "metadata.name: 'a-backend' is taken", "choose another name")
    phase, found = seen(observation(error=refused))
    assert phase == "Degraded"
    assert (found["RuntimeResolved"]["status"], found["RuntimeResolved"]["reason"]) == ("False", "NameTaken")


def test_an_edit_that_cannot_be_planned_says_that_the_old_replicas_go_on() -> None:
    observed = changed(observation(error=ERRORS[0][0], deployment=deployment(1), pods=[ready_pod()]), plan=None)
    status = service_status(observed)
    assert (status["phase"], status["replicas"]) == ("Degraded", 1)
    assert "replicas of the time before this change still run" in conditions(status)["Ready"]["message"]
    assert waiting_notice(observed) is None


def test_what_cannot_be_applied_is_no_fault_of_the_runtime() -> None:
    phase, found = seen(observation(error=HearthError("deployments.apps is forbidden", "grant it")))
    assert phase == "Degraded"
    assert (found["Ready"]["reason"], found["RuntimeResolved"]["status"]) == ("ApplyFailed", "True")


def test_an_error_with_a_word_that_no_condition_may_have() -> None:
    for word in ("two words", "", "1st", "x" * 200, None):
        error = PlanningError("Fine", "m", "r")
        error.reason = word  # type: ignore[assignment]
        assert seen(observation(error=error))[1]["Ready"]["reason"] == "InvalidService"


def test_an_object_that_is_on_its_way_out_is_waited_for() -> None:
    error = BeingDeleted("BeingDeleted", "Deployment 'tiny' in 'ai' is being deleted")
    phase, found = seen(observation(error=error, deployment=None))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "BeingDeleted")
    assert found["Ready"]["message"].startswith("Deployment 'tiny' in 'ai' is being deleted; its own is created when")
    look = observation(deployment=deployment(1), pods=[ready_pod()])
    assert seen(changed(look, error=error)) == seen(look), "an old Job that goes does not keep the model from answering"


def test_without_its_deployment_it_is_being_created() -> None:
    phase, found = seen(observation(deployment=None))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "Creating")


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


# --- around -----------------------------------------------------------------------------------------------------------------


def test_keda_absent_and_asleep_cannot_wake() -> None:
    observed = observation(keda=False, scaled_object=None)
    phase, found = seen(observed)
    assert phase == "Degraded"
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "KEDANotInstalled")
    assert "install KEDA 2.20.2 or later, and the operator does the rest" in found["Ready"]["message"]
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


def test_no_gateway_yet() -> None:
    phase, found = seen(observation(gateway=None, gateway_pods=()))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "GatewayStarting")
    starting = with_container("gateway-1", state={"running": {"startedAt": "2026-11-24T00:59:00Z"}})
    phase, found = seen(observation(gateway=gateway(readyReplicas=0, availableReplicas=0), gateway_pods=[starting]))
    assert (phase, found["Ready"]["reason"]) == ("Pending", "GatewayStarting")


def test_a_gateway_that_is_down_is_worse_than_a_replica_that_answers() -> None:
    broken = with_container(
        "gateway-1", state={"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "gw:1"'}}
    )
    observed = observation(
        gateway=gateway(readyReplicas=0, availableReplicas=0),
        gateway_pods=[broken],
        deployment=deployment(1),
        pods=[ready_pod()],
    )
    phase, found = seen(observed)
    assert (phase, found["Ready"]["status"], found["Ready"]["reason"]) == ("Degraded", "False", "GatewayUnavailable")
    assert "the image engine:1 of the gateway cannot be pulled" in found["Ready"]["message"]
    assert found["Scaled"]["status"] == "True"


def test_a_gateway_is_there_when_either_its_pod_or_its_deployment_says_so() -> None:
    """Watches of two kinds have no order."""
    stale = with_container("gateway-1", state={"running": {"startedAt": "2026-11-24T00:59:00Z"}})
    assert seen(observation(gateway_pods=[stale]))[0] == "ScaledToZero"
    assert seen(observation(gateway=gateway(availableReplicas=0, readyReplicas=0)))[0] == "ScaledToZero"


def test_one_gateway_of_two_is_enough() -> None:
    starting = with_container("gateway-2", state={"waiting": {"reason": "ContainerCreating"}})
    assert seen(observation(gateway_pods=[ready_pod("gateway-1"), starting]))[0] == "ScaledToZero"


def test_warnings_of_the_plan_and_the_namespace_are_told() -> None:
    plan = made({"scaling": {"target": 5, "scaleDownStabilization": "5m", "min": 1}})
    observed = observation(plan, warnings=("spec.endpoint.aliases: 'x' has no effect: it leads to LLMService 'older'",))
    message = seen(observed)[1]["RuntimeResolved"]["message"]
    assert message.startswith("runtime vllm-fake of vendor fake; mind: ")
    assert "spec.scaling.target has no effect: there is 1 replica at any demand" in message
    assert "scaleDownStabilization" not in message, "an API server fills in every default"
    assert "leads to LLMService 'older'" in message


def prewarming(**parts: Any) -> Observed:
    return observation(made({"cache": {"prewarm": True}}), **parts)


def job(kind: str | None = None, message: str = "") -> dict[str, Any]:
    status: dict[str, Any] = (
        {"active": 1} if kind is None else {"conditions": [{"type": kind, "status": "True", "message": message}]}
    )
    return {"metadata": {"name": "tiny-prewarm"}, "status": status}


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


def test_a_prewarm_that_waits_for_a_node_says_so() -> None:
    for nodes in ([], [node(devices=None)]):
        _, found = seen(prewarming(nodes=nodes))
        assert found["Prewarmed"]["reason"] == "NoAccelerator"
        assert found["Prewarmed"]["message"] == (
            "the weights are not downloaded yet: no node that may run the engine has hearth.dev/fake-accelerator, and on "
            "another one they would be of no use to it; the download begins when there is such a node"
        )
    _, found = seen(prewarming(nodes=[node(labels={"kubernetes.io/hostname": "a"})]))
    assert found["Prewarmed"]["reason"] == "Prewarming"


def test_a_prewarm_pod_is_not_explained_by_the_engines_devices() -> None:
    """The nodes that it was kept to are gone; that no node has the engine's device is another matter."""
    lost = unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.")
    _, found = seen(prewarming(prewarm=job(), prewarm_pods=[lost], nodes=[node(devices=None)]))
    assert found["Prewarmed"]["reason"] == "Prewarming"
    assert "didn't match Pod's node affinity/selector" in found["Prewarmed"]["message"]
    assert found["Prewarmed"]["message"].endswith(". To choose its nodes anew: kubectl delete job -n ai tiny-prewarm")


def test_a_failed_prewarm_says_why_and_how_to_try_again() -> None:
    message = "Traceback (most recent call last):\nhuggingface_hub.errors.GatedRepoError: 401 Client Error."
    failed = with_container("tiny-prewarm-x", name="prewarm", state=ended(1, message))
    failed["status"]["phase"] = "Failed"
    _, found = seen(prewarming(prewarm=job("Failed"), prewarm_pods=[failed]))
    assert "GatedRepoError: 401 Client Error." in found["Prewarmed"]["message"]
    assert "accept the model's licence" in found["Prewarmed"]["message"]
    assert "kubectl delete job -n ai tiny-prewarm" in found["Prewarmed"]["message"]


# --- laws -------------------------------------------------------------------------------------------------------------------

PODS = [
    ready_pod(),
    {**ready_pod("tiny-9"), "metadata": {"name": "tiny-9", "deletionTimestamp": "2026-11-24T00:59:00Z"}},
    LOADING,
    crash(),
    crash("tiny-5", "torch.OutOfMemoryError: CUDA out of memory.", 1),
    pod("tiny-6", node=None, phase="Pending"),
    pod("tiny-7", phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
    with_container("tiny-8", state={"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}),
    with_container(
        "tiny-3", state={"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}}
    ),
    unscheduled("0/1 nodes are available: 1 Insufficient hearth.dev/fake-accelerator.", name="tiny-4"),
    unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", name="tiny-2"),
    unscheduled("0/1 nodes are available: 1 node(s) had volume node affinity conflict.", name="tiny-10"),
    {"metadata": {}},
    {"metadata": {}, "status": {"conditions": None, "containerStatuses": None}},
]
PLANS = [
    made(),
    made({"cache": {"prewarm": True}, "endpoint": {"coldStart": {"mode": "reject"}}}),
    made({"scaling": {"min": 1, "max": 3}, "cache": {"strategy": "None"}}),
]


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    plan = draw(st.sampled_from(PLANS))
    error = draw(st.sampled_from([None, None, None, *(error for error, _ in ERRORS)]))
    observed = observation(
        plan,
        error=error,
        deployment=draw(st.sampled_from([None, deployment(None), deployment(0), deployment(1), deployment(3)])),
        pods=draw(st.lists(st.sampled_from(PODS), max_size=4)),
        prewarm=draw(st.sampled_from([None, job(), job("Complete"), job("Failed", "limit")])),
        prewarm_pods=draw(st.lists(st.sampled_from(PODS), max_size=2)),
        scaled_object=draw(
            st.sampled_from(
                [
                    None,
                    scaled_object(),
                    scaled_object("False", "TriggerError", "m"),
                    scaled_object(annotations={"autoscaling.keda.sh/paused": ""}),
                ]
            )
        ),
        keda=draw(st.booleans()),
        gateway=draw(st.sampled_from([None, gateway(), gateway(readyReplicas=0, availableReplicas=0)])),
        gateway_pods=draw(st.lists(st.sampled_from(PODS), max_size=2)),
        nodes=draw(st.sampled_from([None, [], [node()], [node(devices=None), node(devices=1, unschedulable=True)]])),
    )
    return changed(observed, plan=None) if error is not None and draw(st.booleans()) else observed


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


@given(observations())
def test_what_a_waiting_client_is_told_is_short_and_names_nobody(observed: Observed) -> None:
    notice = waiting_notice(observed)
    if notice is None:
        return
    assert len(notice) <= 100
    assert notice.isprintable()
    for private in ("ai", "node-1", "engine:1", "tiny", "secret", "vllm-fake", "KeyError"):
        assert not re.search(rf"\b{re.escape(private)}\b", notice)


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
