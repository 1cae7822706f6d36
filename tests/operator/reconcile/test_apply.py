"""Single objects: applied once, brought back, handed over, and left alone when they are somebody else's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hearth.operator.kubernetes.errors import refusal
from hearth.operator.kubernetes.kinds import (
    CLAIM,
    DEPLOYMENT,
    JOB,
    LLM_SERVICE,
    SCALED_OBJECT,
    SERVICE,
    Kind,
)
from hearth.planning import SERVICE_LABEL, TEMPLATE_ANNOTATION
from tests.operator.harness import (
    HOST,
    Harness,
    late_watch,
    named,
    replicas,
    serving,
)
from tests.support.fake_api import Crash, FakeApi


def _steps() -> Iterator[tuple[int, bool]]:
    for step in range(1, 60):
        yield step, False
        yield step, True


def claims_of_the_first_manager(api: FakeApi) -> list[Any]:
    managers = api.wire(DEPLOYMENT, "ns", "m")["metadata"]["managedFields"]
    return [manager["fieldsV1"] for manager in managers if manager["manager"] == "hearth-init"]


def refuse_releases(api: FakeApi, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let the next applies of the first manager fail."""
    apply, left = api.apply, [times]

    async def refusing(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        if how["manager"] == "hearth-init" and left[0]:
            left[0] -= 1
            raise refusal(409, {"message": "the object has been modified"}, kind.plural)
        return await apply(kind, body, **how)

    monkeypatch.setattr(api, "apply", refusing)


async def test_replicas_are_the_autoscalers(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.scale("ns", "m", 3)
    await harness.settle()
    harness.service(resources={"memory": "1Gi"})
    await harness.settle()
    assert replicas(api) == 3


@pytest.mark.parametrize("kind", [DEPLOYMENT, SERVICE, SCALED_OBJECT], ids=lambda kind: kind.kind)
async def test_a_child_that_was_deleted_comes_back(api: FakeApi, harness: Harness, kind: Kind) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.remove(kind, "ns", "m")
    await harness.settle()
    assert api.has(kind, "ns", "m")


async def test_a_child_that_was_edited_is_put_right(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    planned = api.wire(SERVICE, "ns", "m")["spec"]["selector"]
    api.put(SERVICE, {**named(SERVICE, "m"), "spec": {"selector": {"serving.hearth.dev/gateway": "other"}}})
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m")["spec"]["selector"] == planned


async def test_an_object_of_somebody_else_is_left_alone(api: FakeApi, harness: Harness) -> None:
    foreign = {**named(SERVICE, "m-backend"), "spec": {"selector": {"app": "theirs"}}}
    api.put(SERVICE, foreign)
    harness.service()
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m-backend")["spec"]["selector"] == {"app": "theirs"}
    condition = harness.condition("Ready")
    assert (condition["status"], condition["reason"]) == ("False", "NameTaken")
    assert "'m-backend'" in condition["message"]


async def test_a_prewarm_job_of_another_template_is_replaced(api: FakeApi, harness: Harness) -> None:
    harness.node()
    cache = {"strategy": "HostPath", "prewarm": True}
    harness.service(cache=cache)
    await harness.settle()
    before = api.wire(JOB, "ns", "m-prewarm")["metadata"]
    harness.service(cache=cache, model={"source": {"uri": "hf://org/other"}})
    await harness.settle()
    after = api.wire(JOB, "ns", "m-prewarm")["metadata"]
    assert after["uid"] != before["uid"]
    assert after["annotations"][TEMPLATE_ANNOTATION] != before["annotations"][TEMPLATE_ANNOTATION]


async def test_a_claim_is_created_once(api: FakeApi, harness: Harness) -> None:
    harness.service(cache={"strategy": "NodeLocalPVC", "size": "10Gi"})
    await harness.settle()
    harness.service(cache={"strategy": "NodeLocalPVC", "size": "20Gi"})
    await harness.settle()
    assert [request for request in api.requests if request[1] == CLAIM.kind and request[0] != "list"] == [
        ("create", "PersistentVolumeClaim", "m-cache")
    ]


async def test_a_service_that_was_replaced_by_one_of_its_name_gets_new_objects(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    before = api.wire(DEPLOYMENT, "ns", "m")["metadata"]["uid"]
    api.remove(LLM_SERVICE, "ns", "m")
    harness.service()
    await harness.settle()
    after = api.wire(DEPLOYMENT, "ns", "m")["metadata"]
    assert after["uid"] != before
    assert after["ownerReferences"][0]["uid"] == api.wire(LLM_SERVICE, "ns", "m")["metadata"]["uid"]


@pytest.mark.parametrize(("step", "after_effect"), list(_steps()))
async def test_an_operator_that_dies_anywhere_is_taken_up_by_the_next(step: int, after_effect: bool) -> None:
    """Every request of the first reconciles is one to die at, before or after the API server did it."""
    api = FakeApi()
    harness = Harness(api, HOST)
    harness.runtime("engine")
    harness.node()
    seen: list[int] = []
    api.watchers.append(
        lambda kind, _, item: (
            seen.append(item["spec"]["replicas"]) if kind is DEPLOYMENT and item["metadata"]["name"] == "m" else None
        )
    )
    harness.service(cache={"strategy": "NodeLocalPVC", "prewarm": True})
    api.crash, api.crash_after_effect = step, after_effect
    try:
        await harness.start()
        if api.has(DEPLOYMENT, "ns", "hearth-gateway"):
            harness.gateway_up()
            await harness.settle()
    except Crash:
        harness.stop()
    api.crash = None
    second = Harness(api, HOST)
    await second.start()
    second.gateway_up()
    await second.settle()
    assert second.errors == []
    assert set(seen) == {0}
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]
    assert api.names(SCALED_OBJECT) == ["m"]
    assert api.names(JOB) == ["m-prewarm"]
    second.service(cache={"strategy": "NodeLocalPVC", "prewarm": True}, resources={"memory": "1Gi"})
    await second.settle()
    assert set(seen) == {0}
    assert claims_of_the_first_manager(api) == [{"f:spec": {"f:replicas": {}}}]


async def test_a_new_deployment_is_one_write(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    assert api.requests.count(("apply", "Deployment", "m")) == 1


@pytest.mark.parametrize("awake", [False, True])
async def test_the_first_change_of_a_deployment_is_one_change(api: FakeApi, harness: Harness, awake: bool) -> None:
    """Of one that another manager created: pods would be started for what lies between two."""
    harness.service(resources={"memory": "1Gi"})
    await harness.settle()
    if awake:
        api.scale("ns", "m", 2)
    specs = [api.wire(DEPLOYMENT, "ns", "m")["spec"]]
    api.watchers.append(
        lambda kind, _, item: (
            specs.append(item["spec"]) if kind is DEPLOYMENT and item["metadata"]["name"] == "m" else None
        )
    )
    harness.service(resources={"cpu": "1"})
    await harness.settle()
    assert "memory" not in serving(api)["resources"]["limits"]
    assert all(spec in (specs[0], specs[-1]) for spec in specs)
    assert {spec["replicas"] for spec in specs} == {2 if awake else 0}
    assert claims_of_the_first_manager(api) == ([] if awake else [{"f:spec": {"f:replicas": {}}}])


@pytest.mark.parametrize("refused", [False, True])
async def test_what_the_next_plan_leaves_out_goes_away(
    api: FakeApi, harness: Harness, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """Also when the first manager, which created it, does not hand it over and cannot let go of it at once."""
    api.refuse["patch", "Deployment"] = (422, {"message": "a test failed"})
    harness.service(resources={"memory": "1Gi"})
    await harness.settle()
    assert "memory" in serving(api)["resources"]["limits"]
    api.scale("ns", "m", 2)
    if refused:
        refuse_releases(api, monkeypatch, times=2)
    harness.service()
    await harness.settle(5.0)
    assert "memory" not in serving(api)["resources"]["limits"]
    assert api.wire(DEPLOYMENT, "ns", "m")["spec"]["replicas"] == 2
    assert claims_of_the_first_manager(api) == [{"f:spec": {"f:replicas": {}}}]
    assert harness.queue.failing == 0


async def test_a_job_that_is_replaced_holds_up_nothing_else(api: FakeApi, harness: Harness) -> None:
    harness.node()
    cache = {"strategy": "HostPath", "prewarm": True}
    harness.service(cache=cache)
    await harness.settle()
    api.stored[JOB, "ns", "m-prewarm"].deleting = True
    api.set_status(JOB, "ns", "m-prewarm", {"active": 1})
    harness.service(cache=cache, resources={"memory": "1Gi"})
    await harness.settle(5.0)
    assert "memory" in serving(api)["resources"]["limits"]
    api.remove(JOB, "ns", "m-prewarm")
    await harness.settle()
    assert api.has(JOB, "ns", "m-prewarm")
    assert harness.queue.failing == 0


async def test_an_object_of_somebody_else_that_would_not_even_clash_is_left_alone(
    api: FakeApi, harness: Harness
) -> None:
    api.put(SERVICE, named(SERVICE, "m-backend"))
    before = api.wire(SERVICE, "ns", "m-backend")
    harness.service()
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m-backend") == before
    assert harness.condition("Ready")["reason"] == "NameTaken"


async def test_a_child_that_lost_its_label_gets_it_back(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    label = ("metadata", "labels", "app.kubernetes.io/managed-by")
    api.put(SERVICE, {**named(SERVICE, "m-backend", labels={label[2]: "me"})})
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["labels"][label[2]] == "hearth"
    assert harness.queue.failing == 0


@pytest.mark.parametrize("name", ["m-backend", "hearth-gateway"])
async def test_a_name_that_becomes_free_is_taken_within_a_minute_or_so(
    api: FakeApi, harness: Harness, name: str
) -> None:
    """The object of somebody else has no label of Hearth's, so no watch tells that it is gone."""
    api.put(SERVICE, named(SERVICE, name))
    harness.service()
    await harness.settle()
    assert harness.condition("Ready")["reason"] == "NameTaken"
    api.remove(SERVICE, "ns", name)
    await harness.settle(90.0)
    assert harness.condition("Ready")["reason"] != "NameTaken"
    assert api.wire(SERVICE, "ns", name)["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "hearth"
    assert harness.errors == []
    assert harness.queue.failing == 0


async def test_an_object_that_becomes_valid_is_applied_within_a_minute_or_so(api: FakeApi, harness: Harness) -> None:
    """An admission webhook that refused it was corrected."""
    api.refuse["apply", "Deployment"] = 422, {"message": "admission webhook denied the request"}
    harness.service()
    await harness.settle()
    api.requests.clear()
    await harness.settle(150.0)
    assert 1 < api.requests.count(("apply", "Deployment", "m")) < 4
    assert ("apply-status", "LLMService", "m") not in api.requests
    api.refuse.clear()
    await harness.settle(90.0)
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]


@pytest.mark.parametrize("again", [False, True], ids=["gone", "another one"])
async def test_a_child_that_was_lost_in_a_gap_is_made_again_by_the_next_edit(
    api: FakeApi, harness: Harness, again: bool
) -> None:
    """The API server answers an apply to an object that is gone, or is another one by now, with 409."""
    harness.service()
    await harness.settle()
    with late_watch(api):
        owned = api.wire(DEPLOYMENT, "ns", "m")
        api.remove(DEPLOYMENT, "ns", "m")
        if again:
            api.put(DEPLOYMENT, {**owned, "metadata": {**owned["metadata"], "uid": ""}})
    harness.service(resources={"memory": "1Gi"})
    await harness.settle()
    assert harness.errors == []
    assert "memory" in serving(api)["resources"]["limits"]
    assert replicas(api) == 0


async def test_a_conflict_about_a_child_that_is_there_is_an_error(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    uid = api.wire(SERVICE, "ns", "m-backend")["metadata"]["uid"]
    api.refuse["apply", "Service"] = 409, {"message": "the object has been modified"}
    api.put(SERVICE, {**named(SERVICE, "m-backend"), "spec": {"selector": {"app": "theirs"}}})
    await harness.settle(2.0)
    assert {error.reason for _, error in harness.errors} == {"Conflict"}
    api.refuse.clear()
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["uid"] == uid
    assert harness.queue.failing == 0


async def test_a_child_that_lost_the_name_of_its_service_gets_it_back(api: FakeApi, harness: Harness) -> None:
    harness.service()
    harness.service("n")
    await harness.settle()
    for name in ("", "n"):
        api.put(SERVICE, named(SERVICE, "m-backend", labels={SERVICE_LABEL: name}))
        await harness.settle()
        assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["labels"][SERVICE_LABEL] == "m"
    assert harness.errors == []
