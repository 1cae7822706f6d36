"""The operator over an API server in memory: what it applies, leaves alone, brings back and takes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from hearth.operator.cache import Key
from hearth.operator.kubernetes.errors import refusal
from hearth.operator.kubernetes.kinds import (
    ACCOUNT,
    BUDGET,
    CHILDREN,
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    INFERENCE_RUNTIME,
    JOB,
    LLM_SERVICE,
    POD,
    ROLE,
    SCALED_OBJECT,
    SERVICE,
    Kind,
)
from hearth.operator.status.observer import NODES_KEPT
from hearth.planning import ACCOUNT_ANNOTATION, SERVICE_LABEL, TEMPLATE_ANNOTATION, PlanOptions
from hearth.plugins import VendorHost
from tests.operator.fake import Crash, FakeApi
from tests.operator.harness import Harness, manifest, runtime_manifest

HOST = VendorHost.of({})


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def harness(api: FakeApi) -> Harness:
    """An operator in a cluster with one runtime and no services."""
    harness = Harness(api, HOST)
    harness.runtime("engine")
    await harness.start()
    return harness


def serving(api: FakeApi) -> Mapping[str, Any]:
    container: Mapping[str, Any] = api.wire(DEPLOYMENT, "ns", "m")["spec"]["template"]["spec"]["containers"][0]
    return container


def scaler_ready(api: FakeApi, name: str = "m") -> None:
    """KEDA has taken the ScaledObject."""
    condition = {"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": ""}
    api.set_status(SCALED_OBJECT, "ns", name, {"conditions": [condition]})


def replicas(api: FakeApi, name: str = "m") -> int:
    count: int = api.wire(DEPLOYMENT, "ns", name)["spec"]["replicas"]
    return count


async def test_a_service_gets_its_gateway_and_its_objects(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]
    assert api.names(SERVICE) == ["hearth-gateway", "m", "m-backend"]
    assert api.names(CONFIG_MAP) == ["hearth-gateway"]
    assert harness.errors == []


async def test_the_scaled_object_waits_for_the_gateway(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    assert api.names(SCALED_OBJECT) == []
    harness.gateway_up()
    await harness.settle()
    assert api.names(SCALED_OBJECT) == ["m"]


@pytest.mark.parametrize("gateway", ["shared", "dedicated"])
async def test_keda_asks_at_the_ip_of_the_gateways_service(api: FakeApi, harness: Harness, gateway: str) -> None:
    """A Service that was deleted comes back with another one: KEDA would hold on to a channel that leads nowhere."""
    name = "hearth-gateway" if gateway == "shared" else "m"
    harness.service(endpoint={"gateway": gateway})
    await harness.settle()
    harness.gateway_up(name="hearth-gateway" if gateway == "shared" else "m-gateway")
    await harness.settle()
    for _ in range(2):
        address = api.wire(SERVICE, "ns", name)["spec"]["clusterIP"]
        [trigger] = api.wire(SCALED_OBJECT, "ns", "m")["spec"]["triggers"]
        assert trigger["metadata"]["scalerAddress"] == f"{address}:9090"
        api.remove(SERVICE, "ns", name)
        await harness.settle()
    assert harness.errors == []


@pytest.mark.parametrize("gateway", ["shared", "dedicated"])
async def test_another_account_brings_another_gateway(api: FakeApi, harness: Harness, gateway: str) -> None:
    """What a pod has of the old one is a token that nobody takes any more."""
    name = "hearth-gateway" if gateway == "shared" else "m-gateway"

    def written() -> Any:
        return api.wire(DEPLOYMENT, "ns", name)["spec"]["template"]["metadata"]["annotations"][ACCOUNT_ANNOTATION]

    harness.service(endpoint={"gateway": gateway})
    await harness.settle()
    assert [request[0] for request in api.requests if request[1:] == ("Deployment", name)] == ["apply"]  # not rolled
    for _ in range(2):
        uid = api.wire(ACCOUNT, "ns", name)["metadata"]["uid"]
        assert written() == uid
        api.remove(ACCOUNT, "ns", name)
        await harness.settle()
        assert written() != uid
    assert harness.errors == []


async def test_a_sleeping_service_never_has_a_replica(api: FakeApi, harness: Harness) -> None:
    seen: list[int] = []

    def watch(kind: Kind, _: str, item: Mapping[str, Any]) -> None:
        if kind is DEPLOYMENT and item["metadata"]["name"] == "m":
            seen.append(item["spec"]["replicas"])

    api.watchers.append(watch)
    harness.service()
    await harness.settle()
    harness.service(resources={"memory": "1Gi"})
    await harness.settle()
    assert set(seen) == {0}


async def test_a_service_with_a_minimum_starts_with_it(api: FakeApi, harness: Harness) -> None:
    harness.service(scaling={"min": 2, "max": 3})
    await harness.settle()
    assert replicas(api) == 2


async def test_replicas_are_the_autoscalers(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.scale("ns", "m", 3)
    await harness.settle()
    harness.service(resources={"memory": "1Gi"})
    await harness.settle()
    assert replicas(api) == 3


async def test_what_a_new_plan_leaves_out_goes_away(api: FakeApi, harness: Harness) -> None:
    """The manager of the first apply must not keep it alive."""
    harness.service(resources={"memory": "1Gi"})
    await harness.settle()
    assert "memory" in serving(api)["resources"]["limits"]
    harness.service()
    await harness.settle()
    assert "memory" not in serving(api)["resources"]["limits"]


async def test_an_idle_operator_asks_nothing(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.requests.clear()
    harness.handlers.queue_all(0.0)
    await harness.settle()
    assert api.requests == [("get", "LLMService", "m")]


@pytest.mark.parametrize("kind", [DEPLOYMENT, SERVICE, SCALED_OBJECT], ids=lambda kind: kind.kind)
async def test_a_child_that_was_deleted_comes_back(api: FakeApi, harness: Harness, kind: Kind) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.remove(kind, "ns", "m")
    await harness.settle()
    assert api.has(kind, "ns", "m")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(DEPLOYMENT, "hearth-gateway"), (SERVICE, "hearth-gateway"), (CONFIG_MAP, "hearth-gateway")],
    ids=lambda value: getattr(value, "kind", value),
)
async def test_a_part_of_the_gateway_that_was_deleted_comes_back(
    api: FakeApi, harness: Harness, kind: Kind, name: str
) -> None:
    harness.service()
    await harness.settle()
    api.remove(kind, "ns", name)
    await harness.settle()
    assert api.has(kind, "ns", name)


async def test_a_child_that_was_edited_is_put_right(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    planned = api.wire(SERVICE, "ns", "m")["spec"]["selector"]
    api.put(SERVICE, {**_name(SERVICE, "m"), "spec": {"selector": {"serving.hearth.dev/gateway": "other"}}})
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m")["spec"]["selector"] == planned


async def test_the_replicas_of_a_gateway_are_put_right(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.scale("ns", "hearth-gateway", 0)
    await harness.settle()
    assert replicas(api, "hearth-gateway") == 1


async def test_status_of_a_child_alone_is_no_reason_to_apply(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.requests.clear()
    api.set_status(DEPLOYMENT, "ns", "m", {"observedGeneration": 1})
    await harness.settle()
    assert ("apply", "Deployment", "m") not in api.requests


async def test_an_object_of_somebody_else_is_left_alone(api: FakeApi, harness: Harness) -> None:
    foreign = {**_name(SERVICE, "m-backend"), "spec": {"selector": {"app": "theirs"}}}
    api.put(SERVICE, foreign)
    harness.service()
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m-backend")["spec"]["selector"] == {"app": "theirs"}
    condition = harness.condition("Ready")
    assert (condition["status"], condition["reason"]) == ("False", "NameTaken")
    assert "'m-backend'" in condition["message"]


async def test_a_service_is_refused_when_an_older_one_has_the_name_it_needs(api: FakeApi, harness: Harness) -> None:
    harness.service("m")
    await harness.settle()
    harness.service("m-backend")
    await harness.settle()
    assert harness.condition("Ready", "m-backend")["reason"] == "NameTaken"
    assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["labels"]["serving.hearth.dev/llmservice"] == "m"


async def test_a_deleted_service_leaves_nothing_in_its_namespace(api: FakeApi, harness: Harness) -> None:
    harness.service()
    harness.service("n")
    await harness.settle()
    api.remove(LLM_SERVICE, "ns", "m")
    await harness.settle()
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "n"]
    assert "m" not in services_document(api)
    api.remove(LLM_SERVICE, "ns", "n")
    await harness.settle()
    assert [(kind.kind, name) for kind in CHILDREN for name in api.names(kind)] == []


async def test_a_changed_runtime_rolls_exactly_its_services(api: FakeApi, harness: Harness) -> None:
    harness.runtime("other")
    for number in range(4):
        harness.service(f"m{number}", runtime={"name": "other" if number % 2 else "engine"})
    await harness.settle()
    before = {name: api.wire(DEPLOYMENT, "ns", name)["metadata"]["generation"] for name in api.names(DEPLOYMENT)}
    api.requests.clear()
    harness.runtime("other", image="engine:2")
    await harness.settle()
    after = {name: api.wire(DEPLOYMENT, "ns", name)["metadata"]["generation"] for name in api.names(DEPLOYMENT)}
    assert {name for name in after if after[name] != before[name]} == {"m1", "m3"}
    assert {name for verb, kind, name in api.requests if (verb, kind) == ("apply", "Deployment")} == {"m1", "m3"}


async def test_a_runtime_that_comes_later_is_noticed(api: FakeApi, harness: Harness) -> None:
    harness.service(runtime={"name": "late"})
    await harness.settle()
    assert harness.condition("RuntimeResolved")["status"] == "False"
    assert api.names(DEPLOYMENT) == []
    harness.runtime("late")
    await harness.settle()
    assert api.has(DEPLOYMENT, "ns", "m")


async def test_an_edit_that_cannot_be_planned_leaves_what_runs(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    harness.service(runtime={"name": "nowhere"})
    await harness.settle()
    assert harness.condition("RuntimeResolved")["reason"] == "RuntimeNotFound"
    assert api.has(DEPLOYMENT, "ns", "m")
    assert "m" in services_document(api)


async def test_an_operator_that_cannot_plan_any_more_does_not_cut_off_what_runs(api: FakeApi, harness: Harness) -> None:
    """A vendor's plugin is missing from a new image, a runtime was deleted: known only to the operator before."""
    harness.runtime("other")
    harness.service(runtime={"name": "engine"})
    harness.service("n", runtime={"name": "other"})
    await harness.settle()
    harness.stop()
    api.remove(INFERENCE_RUNTIME, None, "engine")
    after = Harness(api, HOST)
    await after.start()
    assert after.condition("RuntimeResolved")["reason"] == "RuntimeNotFound"
    assert {"m", "n"} <= set(services_document(api))
    after.service("n", runtime={"name": "nowhere"})
    await after.settle()
    assert {"m", "n"} <= set(services_document(api))
    assert api.has(DEPLOYMENT, "ns", "hearth-gateway")
    api.remove(LLM_SERVICE, "ns", "m")
    await after.settle()
    assert "m" not in services_document(api)


async def test_a_gateway_is_not_taken_from_a_service_that_cannot_be_planned(api: FakeApi, harness: Harness) -> None:
    harness.service(runtime={"name": "engine"})
    harness.runtime("other")
    await harness.settle()
    harness.service("alone", runtime={"name": "other"}, endpoint={"gateway": "dedicated"})
    await harness.settle()
    harness.stop()
    api.remove(INFERENCE_RUNTIME, None, "engine")
    after = Harness(api, HOST)
    await after.start()
    assert api.has(DEPLOYMENT, "ns", "hearth-gateway")
    assert "m" in services_document(api)


async def test_an_alias_that_becomes_free_is_told(api: FakeApi, harness: Harness) -> None:
    for name in ("m", "n"):
        harness.service(name, endpoint={"aliases": ["both"]})
        await harness.settle()
    assert "'both' has no effect" in harness.condition("RuntimeResolved", "n")["message"]
    api.remove(LLM_SERVICE, "ns", "m")
    await harness.settle()
    assert "both" not in harness.condition("RuntimeResolved", "n")["message"]


async def test_without_keda_everything_else_works_and_it_is_noticed_when_it_comes(api: FakeApi) -> None:
    api.served.discard(SCALED_OBJECT)
    harness = Harness(api, HOST)
    harness.runtime("engine")
    await harness.start()
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    assert api.has(DEPLOYMENT, "ns", "m")
    assert harness.condition("Scaled")["reason"] == "KEDANotInstalled"
    api.served.add(SCALED_OBJECT)
    await harness.discovery.check()
    await harness.settle()
    assert api.names(SCALED_OBJECT) == ["m"]


async def test_keda_that_is_taken_away_is_noticed(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.served.discard(SCALED_OBJECT)
    del api.stored[SCALED_OBJECT, "ns", "m"]
    harness.service(scaling={"max": 4})
    await harness.settle()
    assert harness.condition("Scaled")["reason"] == "KEDANotInstalled"


async def test_a_dedicated_gateway_and_back(api: FakeApi, harness: Harness) -> None:
    harness.service(endpoint={"gateway": "dedicated"})
    await harness.settle()
    assert api.names(DEPLOYMENT) == ["m", "m-gateway"]
    harness.service()
    await harness.settle()
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]
    harness.service(endpoint={"gateway": "dedicated"})
    await harness.settle()
    assert api.names(DEPLOYMENT) == ["m", "m-gateway"]


async def test_the_budget_of_a_gateway_goes_with_its_second_replica(api: FakeApi) -> None:
    first = Harness(api, HOST, PlanOptions(gateway_replicas=2))
    first.runtime("engine")
    await first.start()
    first.service()
    await first.settle()
    assert api.names(BUDGET) == ["hearth-gateway"]
    first.stop()
    second = Harness(api, HOST, PlanOptions(gateway_replicas=1))
    await second.start()
    assert api.names(BUDGET) == []


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


async def test_a_download_waits_for_a_node_that_the_engine_can_use(api: FakeApi, harness: Harness) -> None:
    harness.node("cpu", devices=0)
    harness.service(cache={"prewarm": True})
    await harness.settle(1.0)
    harness.gateway_up()
    await harness.settle()
    assert api.has(CLAIM, "ns", "m-cache")
    assert not api.has(JOB, "ns", "m-prewarm")
    assert api.has(SCALED_OBJECT, "ns", "m"), "the model can be used all the same"
    assert harness.condition("Prewarmed")["reason"] == "NoAccelerator"
    assert harness.queue.failing == 0
    harness.node("gpu")
    await harness.settle()
    assert places(api.wire(JOB, "ns", "m-prewarm")) == ["gpu"]
    assert harness.condition("Prewarmed")["reason"] == "Prewarming"


async def test_nodes_that_come_and_go_are_no_reason_to_download_again(api: FakeApi, harness: Harness) -> None:
    harness.node("gpu")
    harness.service(cache={"prewarm": True})
    await harness.settle()
    before = api.wire(JOB, "ns", "m-prewarm")
    harness.node("gpu-2")
    await harness.resync.run()
    harness.service(cache={"prewarm": True}, scaling={"max": 2})
    await harness.settle()
    assert api.wire(JOB, "ns", "m-prewarm")["metadata"]["uid"] == before["metadata"]["uid"]
    harness.clock.now += NODES_KEPT + 1
    api.remove(JOB, "ns", "m-prewarm")
    await harness.settle()
    assert places(api.wire(JOB, "ns", "m-prewarm")) == ["gpu", "gpu-2"]


async def test_nodes_that_cannot_be_listed_are_asked_for_again(api: FakeApi, harness: Harness) -> None:
    harness.node()
    api.refuse["list", "Node"] = 403, {"message": "nodes is forbidden"}
    harness.service(cache={"prewarm": True})
    await harness.settle()
    assert not api.has(JOB, "ns", "m-prewarm")
    assert harness.condition("Prewarmed")["reason"] == "Prewarming"
    api.refuse.clear()
    await harness.settle()
    assert places(api.wire(JOB, "ns", "m-prewarm")) == ["node-1"]


def places(job: Mapping[str, Any]) -> list[str]:
    """The hostnames that a Job's pod is kept to."""
    affinity = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("kubernetes.io/hostname", "In")
    names: list[str] = expression["values"]
    return names


async def test_a_claim_is_created_once(api: FakeApi, harness: Harness) -> None:
    harness.service(cache={"strategy": "NodeLocalPVC", "size": "10Gi"})
    await harness.settle()
    harness.service(cache={"strategy": "NodeLocalPVC", "size": "20Gi"})
    await harness.settle()
    assert [request for request in api.requests if request[1] == CLAIM.kind and request[0] != "list"] == [
        ("create", "PersistentVolumeClaim", "m-cache")
    ]


async def test_what_watches_lost_is_found_by_the_next_look(api: FakeApi, harness: Harness) -> None:
    harness.service()
    harness.service("n")
    await harness.settle()
    api.remove(DEPLOYMENT, "ns", "n", silently=True)
    api.remove(LLM_SERVICE, "ns", "m", silently=True)
    await harness.settle()
    assert not api.has(DEPLOYMENT, "ns", "n")
    await harness.resync.run()
    await harness.settle()
    assert api.has(DEPLOYMENT, "ns", "n")
    assert "m" not in services_document(api)


async def test_a_namespace_that_goes_is_left_alone(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.going.add("ns")
    for kind in CHILDREN:
        for name in api.names(kind):
            api.remove(kind, "ns", name)
    await harness.settle()
    assert harness.errors == []
    api.remove(LLM_SERVICE, "ns", "m")
    await harness.settle()
    assert harness.errors == []
    assert harness.queue.failing == 0


async def test_an_object_that_the_api_server_finds_invalid_is_said_once(api: FakeApi, harness: Harness) -> None:
    """Server-side apply answers a duplicate name in a list with 500."""
    message = "failed to create typed patch object (ns/m; apps/v1, Kind=Deployment): duplicate entries for key"
    api.refuse["apply", "Deployment"] = 500, {"message": message}
    harness.service()
    await harness.settle()
    assert [key for key, _ in harness.errors] == []
    assert harness.condition("Ready")["reason"] == "InvalidObject"


async def test_a_gateway_that_is_not_allowed_is_said_as_long_as_it_is_so(api: FakeApi, harness: Harness) -> None:
    harness.service("own", endpoint={"gateway": "dedicated"})
    harness.service()
    await harness.settle()
    api.refuse["apply", "Role"] = 403, {"message": "roles is forbidden: attempting to grant RBAC permissions not held"}
    api.remove(ROLE, "ns", "hearth-gateway")
    reasons = []
    for _ in range(5):
        await harness.settle(2.0)
        harness.handlers.queue_all(0.0)
        reasons.append(harness.condition("Ready")["reason"])
    assert set(reasons) == {"Forbidden"}
    assert harness.condition("Ready", "own")["reason"] != "Forbidden", "its gateway is another one"
    api.refuse.clear()
    await harness.settle()
    assert harness.condition("Ready")["reason"] != "Forbidden"


async def test_a_service_looked_at_while_the_gateway_is_tried_again_says_the_same(
    api: FakeApi, harness: Harness
) -> None:
    harness.service()
    await harness.settle()
    api.refuse["apply", "Role"] = 403, {"message": "roles is forbidden"}
    api.remove(ROLE, "ns", "hearth-gateway")
    await harness.settle(1.0)
    looked = []

    def look(*_: object) -> None:
        looked.append(harness.reconciler._namespaces.states["ns"].error)

    api.watchers.append(look)
    api.remove(ACCOUNT, "ns", "hearth-gateway")  # a part that is applied before the one that fails
    await harness.settle(5.0)
    assert len(looked) > 1
    assert None not in looked


async def test_a_failing_api_server_is_tried_again_and_again(api: FakeApi, harness: Harness) -> None:
    api.refuse["apply", "Deployment"] = 503, {"message": "etcdserver: request timed out"}
    harness.service()
    await harness.settle(10.0)
    assert 3 < len(harness.errors) < 20
    api.refuse.clear()
    await harness.settle()
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]


async def test_the_status_is_written_only_when_it_changes(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.requests.clear()
    for _ in range(5):
        harness.handlers.queue_all(0.0)
        await harness.settle()
    assert ("apply-status", "LLMService", "m") not in api.requests


async def test_a_pod_that_changes_is_seen_in_the_status(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.scale("ns", "m", 1)
    api.put(
        POD,
        {
            **_name(
                POD, "m-1", labels={"app.kubernetes.io/managed-by": "hearth", "serving.hearth.dev/llmservice": "m"}
            ),
            "spec": {"nodeName": "n"},
        },
    )
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    container = {"name": "serving", "image": "engine:1", "ready": False, "restartCount": 0, "state": waiting}
    api.set_status(POD, "ns", "m-1", {"phase": "Pending", "containerStatuses": [container]})
    await harness.settle()
    assert "image" in harness.condition("Ready")["message"]
    assert notices(api)["m"]


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


def _steps() -> Iterator[tuple[int, bool]]:
    for step in range(1, 60):
        yield step, False
        yield step, True


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


def claims_of_the_first_manager(api: FakeApi) -> list[Any]:
    managers = api.wire(DEPLOYMENT, "ns", "m")["metadata"]["managedFields"]
    return [manager["fieldsV1"] for manager in managers if manager["manager"] == "hearth-init"]


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


def refuse_releases(api: FakeApi, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let the next applies of the first manager fail."""
    apply, left = api.apply, [times]

    async def refusing(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        if how["manager"] == "hearth-init" and left[0]:
            left[0] -= 1
            raise refusal(409, {"message": "the object has been modified"}, kind.plural)
        return await apply(kind, body, **how)

    monkeypatch.setattr(api, "apply", refusing)


def _name(kind: Kind, name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns"} | ({"labels": dict(labels)} if labels else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def services_document(api: FakeApi) -> list[str]:
    data = api.wire(CONFIG_MAP, "ns", "hearth-gateway")["data"]
    return [entry["name"] for entry in json.loads(data["services.json"])["services"]]


def notices(api: FakeApi) -> Mapping[str, str]:
    data = api.wire(CONFIG_MAP, "ns", "hearth-gateway")["data"]
    found: Mapping[str, str] = json.loads(data.get("notices.json", "{}"))
    return found


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
    api.put(SERVICE, _name(SERVICE, "m-backend"))
    before = api.wire(SERVICE, "ns", "m-backend")
    harness.service()
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m-backend") == before
    assert harness.condition("Ready")["reason"] == "NameTaken"


async def test_a_wake_is_no_reason_to_apply(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.requests.clear()
    api.scale("ns", "m", 1)
    await harness.settle()
    assert ("apply", "Deployment", "m") not in api.requests


async def test_a_child_that_lost_its_label_gets_it_back(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    label = ("metadata", "labels", "app.kubernetes.io/managed-by")
    api.put(SERVICE, {**_name(SERVICE, "m-backend", labels={label[2]: "me"})})
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["labels"][label[2]] == "hearth"
    assert harness.queue.failing == 0


@pytest.mark.parametrize("gateway", ["shared", "dedicated"])
async def test_an_edit_during_an_apply_is_not_lost(
    api: FakeApi, harness: Harness, monkeypatch: pytest.MonkeyPatch, gateway: str
) -> None:
    """One worker applies the first plan while another one plans the namespace with the next."""
    apply, claimed = api.apply, []

    async def while_another_worker_plans(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        if kind is SERVICE and body["metadata"]["name"] == "m-backend" and not edited.done():
            edited.set_result(None)
            harness.service(resources={"memory": "1Gi"})
            harness.clock.now += 1.0
            await harness.reconciler.reconcile(Key("ns"))
        return await apply(kind, body, **how)

    def claim(kind: Kind, _: str, item: Mapping[str, Any]) -> None:
        if kind is LLM_SERVICE and any(
            at["observedGeneration"] == 2 for at in item.get("status", {}).get("conditions", ())
        ):
            claimed.append("memory" in serving(api)["resources"]["limits"])

    edited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(api, "apply", while_another_worker_plans)
    api.watchers.append(claim)
    harness.service(endpoint={"gateway": gateway})
    await harness.settle()
    assert edited.done()
    assert "memory" in serving(api)["resources"]["limits"]
    assert claimed
    assert all(claimed), "the status spoke of the next spec while the last one was applied"
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]
    assert harness.errors == []


@contextmanager
def late_watch(api: FakeApi) -> Iterator[None]:
    """What happens meanwhile is told by no watch yet."""
    watchers, api.watchers = api.watchers, []
    yield
    api.watchers = watchers


async def test_an_edit_that_the_answer_to_the_status_tells_first_is_not_lost(
    api: FakeApi, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, edited = api.apply, []

    async def after_an_edit(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        if how.get("subresource") == "status" and not edited:
            edited.append(True)
            with late_watch(api):
                harness.service(resources={"memory": "1Gi"})
                return await apply(kind, body, **how)
        return await apply(kind, body, **how)

    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    monkeypatch.setattr(api, "apply", after_an_edit)
    scaler_ready(api)
    await harness.settle()
    harness.handlers.handle(LLM_SERVICE, "MODIFIED", api.wire(LLM_SERVICE, "ns", "m"))
    await harness.settle()
    assert edited
    assert "memory" in serving(api)["resources"]["limits"]


async def test_a_gateway_that_the_answer_to_an_apply_shows_as_available_is_noticed(
    api: FakeApi, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = api.apply

    async def once_it_is_up(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        if kind is not DEPLOYMENT or body["metadata"]["name"] != "hearth-gateway":
            return await apply(kind, body, **how)
        with late_watch(api):
            harness.gateway_up()
            return await apply(kind, body, **how)

    harness.service()
    await harness.settle()
    assert harness.condition("Ready")["reason"] == "GatewayStarting"
    monkeypatch.setattr(api, "apply", once_it_is_up)
    api.scale("ns", "hearth-gateway", 0)
    await harness.settle()
    harness.handlers.handle(DEPLOYMENT, "MODIFIED", api.wire(DEPLOYMENT, "ns", "hearth-gateway"))
    await harness.settle()
    assert harness.condition("Ready")["reason"] == "ScaledObjectPending"
    assert api.names(SCALED_OBJECT) == ["m"]


WEBHOOK = 500, {"message": 'failed calling webhook "policy.example": no endpoints available'}


async def test_an_api_server_that_fails_for_long_is_told(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    scaler_ready(api)
    await harness.settle()
    assert harness.condition("Ready")["status"] == "True"
    api.refuse["apply", "Deployment"] = WEBHOOK
    harness.service(resources={"memory": "1Gi"})
    await harness.settle(30.0)
    assert harness.condition("Ready")["reason"] == "InternalError"
    assert "failed calling webhook" in harness.condition("Ready")["message"]
    api.refuse.clear()
    await harness.settle()
    assert harness.condition("Ready")["status"] == "True"


async def test_a_gateway_that_the_api_server_fails_to_take_for_long_is_told(api: FakeApi, harness: Harness) -> None:
    api.refuse["apply", "Deployment"] = WEBHOOK
    harness.service()
    await harness.settle(30.0)
    assert harness.condition("Ready")["reason"] == "InternalError"
    api.refuse.clear()
    await harness.settle()
    assert harness.condition("Ready")["reason"] == "GatewayStarting"


@pytest.mark.parametrize(("status", "reason"), [(409, "Conflict"), (503, "ApiUnavailable")])
async def test_an_api_server_that_stumbles_says_nothing_about_the_service(
    api: FakeApi, harness: Harness, status: int, reason: str
) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.refuse["apply", "Service"] = status, {"message": "not now"}
    api.put(SERVICE, {**_name(SERVICE, "m"), "spec": {"selector": {"serving.hearth.dev/gateway": "other"}}})
    await harness.settle(1.0)
    assert harness.errors
    assert harness.condition("Ready")["reason"] == "ScaledObjectPending"
    await harness.settle(30.0)
    assert harness.condition("Ready")["reason"] == reason


async def test_a_large_namespace_that_fails_backs_off(
    api: FakeApi, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pace, which is a matter of size, must not count as a success."""
    apply = api.apply

    async def slow(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        harness.clock.now += 1.0 if kind is ROLE else 0.0
        return await apply(kind, body, **how)

    monkeypatch.setattr(api, "apply", slow)
    api.refuse["apply", "Role"] = 403, {"message": "roles is forbidden"}
    for number in range(25):
        harness.service(f"m{number}")
    await harness.settle(60.0)
    assert harness.queue.failing == 1
    api.requests.clear()
    await harness.settle(300.0)
    assert harness.queue.failing == 1
    assert 3 < len([request for request in api.requests if request[:2] == ("apply", "Role")]) < 8
    api.refuse.clear()
    await harness.settle()
    assert harness.queue.failing == 0


@pytest.mark.parametrize("name", ["m-backend", "hearth-gateway"])
async def test_a_name_that_becomes_free_is_taken_within_a_minute_or_so(
    api: FakeApi, harness: Harness, name: str
) -> None:
    """The object of somebody else has no label of Hearth's, so no watch tells that it is gone."""
    api.put(SERVICE, _name(SERVICE, name))
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
    api.put(SERVICE, {**_name(SERVICE, "m-backend"), "spec": {"selector": {"app": "theirs"}}})
    await harness.settle(2.0)
    assert {error.reason for _, error in harness.errors} == {"Conflict"}
    api.refuse.clear()
    await harness.settle()
    assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["uid"] == uid
    assert harness.queue.failing == 0


def break_runtime(harness: Harness, name: str = "engine", image: str = "engine:2") -> None:
    """The API server takes keys of free mappings as they come; the models do not."""
    broken = runtime_manifest(name, image=image)
    broken["spec"]["accelerator"]["nodeSelector"] = {"no key!": "x"}
    harness.api.put_whole(INFERENCE_RUNTIME, broken)


async def test_a_runtime_that_only_the_models_refuse_is_said_to_be_invalid(api: FakeApi, harness: Harness) -> None:
    break_runtime(harness, "broken")
    harness.service(runtime={"name": "broken"})
    await harness.settle()
    condition = harness.condition("RuntimeResolved")
    assert condition["reason"] == "RuntimeInvalid"
    assert "InferenceRuntime 'broken' is not valid: spec.accelerator.nodeSelector" in condition["message"]
    harness.runtime("broken")
    await harness.settle()
    assert harness.condition("RuntimeResolved")["status"] == "True"


async def test_a_runtime_that_becomes_invalid_is_used_as_it_was(
    api: FakeApi, harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.service()
    await harness.settle()
    break_runtime(harness)
    harness.service("n")
    await harness.settle()
    assert serving(api)["image"] == "engine:1"
    assert api.has(DEPLOYMENT, "ns", "n")
    assert "InferenceRuntime engine is invalid, keeping its last valid version" in caplog.text
    for name in ("m", "n"):
        condition = harness.condition("RuntimeResolved", name)
        assert condition["status"] == "True"
        assert "'engine' is no longer valid; using its last valid version" in condition["message"]
    harness.runtime("engine", image="engine:2")
    await harness.settle()
    assert serving(api)["image"] == "engine:2"
    assert "valid" not in harness.condition("RuntimeResolved")["message"]


async def test_an_invalid_runtime_that_is_deleted_is_forgotten(api: FakeApi, harness: Harness) -> None:
    break_runtime(harness, "broken")
    harness.service(runtime={"name": "broken"})
    await harness.settle()
    api.remove(INFERENCE_RUNTIME, None, "broken", silently=True)
    await harness.resync.run()
    await harness.settle()
    assert harness.condition("RuntimeResolved")["reason"] == "RuntimeNotFound"


async def test_a_child_that_lost_the_name_of_its_service_gets_it_back(api: FakeApi, harness: Harness) -> None:
    harness.service()
    harness.service("n")
    await harness.settle()
    for name in ("", "n"):
        api.put(SERVICE, _name(SERVICE, "m-backend", labels={SERVICE_LABEL: name}))
        await harness.settle()
        assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["labels"][SERVICE_LABEL] == "m"
    assert harness.errors == []


async def test_that_keda_looked_again_is_no_reason_to_look(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    harness.reconciled.clear()
    for second in range(3):
        api.set_status(SCALED_OBJECT, "ns", "m", {"lastActiveTime": f"2026-01-01T00:00:0{second}Z"})
        await harness.settle()
    assert harness.reconciled == [Key("ns", "m")], "only the first one says something new"


async def test_an_object_older_than_the_rule_for_names_disturbs_nobody(api: FakeApi, harness: Harness) -> None:
    harness.service()
    name = "Older.than-the-rule"
    api.put_whole(LLM_SERVICE, {**manifest(name), "spec": {}})
    await harness.resync.run()
    await harness.settle()
    assert harness.condition("Ready", name)["reason"] == "InvalidSpec"
    assert harness.condition("Ready")["reason"] == "GatewayStarting"
    assert harness.errors == []


async def test_what_says_nothing_new_is_no_reason_to_look(api: FakeApi, harness: Harness) -> None:
    """Controllers write much into the status of a sleeping model's objects that no sentence is made of."""
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.requests.clear()
    progressing = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    api.set_status(DEPLOYMENT, "ns", "m", {"observedGeneration": 1, "conditions": [progressing]})
    active = {"type": "Active", "status": "False", "reason": "ScalerNotActive"}
    ready = api.wire(SCALED_OBJECT, "ns", "m").get("status", {}).get("conditions", [])
    api.set_status(SCALED_OBJECT, "ns", "m", {"scaleTargetKind": "apps/v1.Deployment", "conditions": [*ready, active]})
    await harness.settle()
    assert api.requests == []
