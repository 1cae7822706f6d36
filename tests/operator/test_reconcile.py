"""The operator over an API server in memory: what it applies, leaves alone, brings back and takes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from hearth.operator.cache import Key
from hearth.operator.errors import refusal
from hearth.operator.kinds import (
    ACCOUNT,
    BUDGET,
    CHILDREN,
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    POD,
    ROLE,
    RUNTIMES,
    SCALED_OBJECT,
    SERVICE,
    SERVICES,
    Kind,
)
from hearth.operator.sight import NODES_KEPT
from hearth.planning import ACCOUNT_ANNOTATION, SERVICE_LABEL, TEMPLATE_ANNOTATION, PlanOptions
from hearth.plugins import VendorHost

from .bench import Bench, manifest, runtime_manifest
from .fake import Crash, FakeApi

HOST = VendorHost.of({})


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def bench(api: FakeApi) -> Bench:
    """An operator in a cluster with one runtime and no services."""
    bench = Bench(api, HOST)
    bench.runtime("engine")
    await bench.start()
    return bench


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


async def test_a_service_gets_its_gateway_and_its_objects(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]
    assert api.names(SERVICE) == ["hearth-gateway", "m", "m-backend"]
    assert api.names(CONFIG_MAP) == ["hearth-gateway"]
    assert bench.errors == []


async def test_the_scaled_object_waits_for_the_gateway(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    assert api.names(SCALED_OBJECT) == []
    bench.gateway_up()
    await bench.settle()
    assert api.names(SCALED_OBJECT) == ["m"]


@pytest.mark.parametrize("gateway", ["shared", "dedicated"])
async def test_keda_asks_at_the_ip_of_the_gateways_service(api: FakeApi, bench: Bench, gateway: str) -> None:
    """A Service that was deleted comes back with another one: KEDA would hold on to a channel that leads nowhere."""
    name = "hearth-gateway" if gateway == "shared" else "m"
    bench.service(endpoint={"gateway": gateway})
    await bench.settle()
    bench.gateway_up(name="hearth-gateway" if gateway == "shared" else "m-gateway")
    await bench.settle()
    for _ in range(2):
        address = api.wire(SERVICE, "ns", name)["spec"]["clusterIP"]
        [trigger] = api.wire(SCALED_OBJECT, "ns", "m")["spec"]["triggers"]
        assert trigger["metadata"]["scalerAddress"] == f"{address}:9090"
        api.remove(SERVICE, "ns", name)
        await bench.settle()
    assert bench.errors == []


@pytest.mark.parametrize("gateway", ["shared", "dedicated"])
async def test_another_account_brings_another_gateway(api: FakeApi, bench: Bench, gateway: str) -> None:
    """What a pod has of the old one is a token that nobody takes any more."""
    name = "hearth-gateway" if gateway == "shared" else "m-gateway"

    def written() -> Any:
        return api.wire(DEPLOYMENT, "ns", name)["spec"]["template"]["metadata"]["annotations"][ACCOUNT_ANNOTATION]

    bench.service(endpoint={"gateway": gateway})
    await bench.settle()
    assert [request[0] for request in api.requests if request[1:] == ("Deployment", name)] == ["apply"]  # not rolled
    for _ in range(2):
        uid = api.wire(ACCOUNT, "ns", name)["metadata"]["uid"]
        assert written() == uid
        api.remove(ACCOUNT, "ns", name)
        await bench.settle()
        assert written() != uid
    assert bench.errors == []


async def test_a_sleeping_service_never_has_a_replica(api: FakeApi, bench: Bench) -> None:
    seen: list[int] = []

    def watch(kind: Kind, _: str, item: Mapping[str, Any]) -> None:
        if kind is DEPLOYMENT and item["metadata"]["name"] == "m":
            seen.append(item["spec"]["replicas"])

    api.watchers.append(watch)
    bench.service()
    await bench.settle()
    bench.service(resources={"memory": "1Gi"})
    await bench.settle()
    assert set(seen) == {0}


async def test_a_service_with_a_minimum_starts_with_it(api: FakeApi, bench: Bench) -> None:
    bench.service(scaling={"min": 2, "max": 3})
    await bench.settle()
    assert replicas(api) == 2


async def test_replicas_are_the_autoscalers(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    api.scale("ns", "m", 3)
    await bench.settle()
    bench.service(resources={"memory": "1Gi"})
    await bench.settle()
    assert replicas(api) == 3


async def test_what_a_new_plan_leaves_out_goes_away(api: FakeApi, bench: Bench) -> None:
    """The manager of the first apply must not keep it alive."""
    bench.service(resources={"memory": "1Gi"})
    await bench.settle()
    assert "memory" in serving(api)["resources"]["limits"]
    bench.service()
    await bench.settle()
    assert "memory" not in serving(api)["resources"]["limits"]


async def test_an_idle_operator_asks_nothing(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
    api.requests.clear()
    bench.intake.everything(0.0)
    await bench.settle()
    assert api.requests == [("get", "LLMService", "m")]


@pytest.mark.parametrize("kind", [DEPLOYMENT, SERVICE, SCALED_OBJECT], ids=lambda kind: kind.kind)
async def test_a_child_that_was_deleted_comes_back(api: FakeApi, bench: Bench, kind: Kind) -> None:
    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
    api.remove(kind, "ns", "m")
    await bench.settle()
    assert api.has(kind, "ns", "m")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(DEPLOYMENT, "hearth-gateway"), (SERVICE, "hearth-gateway"), (CONFIG_MAP, "hearth-gateway")],
    ids=lambda value: getattr(value, "kind", value),
)
async def test_a_part_of_the_gateway_that_was_deleted_comes_back(
    api: FakeApi, bench: Bench, kind: Kind, name: str
) -> None:
    bench.service()
    await bench.settle()
    api.remove(kind, "ns", name)
    await bench.settle()
    assert api.has(kind, "ns", name)


async def test_a_child_that_was_edited_is_put_right(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    planned = api.wire(SERVICE, "ns", "m")["spec"]["selector"]
    api.put(SERVICE, {**_name(SERVICE, "m"), "spec": {"selector": {"serving.hearth.dev/gateway": "other"}}})
    await bench.settle()
    assert api.wire(SERVICE, "ns", "m")["spec"]["selector"] == planned


async def test_the_replicas_of_a_gateway_are_put_right(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    api.scale("ns", "hearth-gateway", 0)
    await bench.settle()
    assert replicas(api, "hearth-gateway") == 1


async def test_status_of_a_child_alone_is_no_reason_to_apply(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    api.requests.clear()
    api.set_status(DEPLOYMENT, "ns", "m", {"observedGeneration": 1})
    await bench.settle()
    assert ("apply", "Deployment", "m") not in api.requests


async def test_an_object_of_somebody_else_is_left_alone(api: FakeApi, bench: Bench) -> None:
    foreign = {**_name(SERVICE, "m-backend"), "spec": {"selector": {"app": "theirs"}}}
    api.put(SERVICE, foreign)
    bench.service()
    await bench.settle()
    assert api.wire(SERVICE, "ns", "m-backend")["spec"]["selector"] == {"app": "theirs"}
    condition = bench.condition("Ready")
    assert (condition["status"], condition["reason"]) == ("False", "NameTaken")
    assert "'m-backend'" in condition["message"]


async def test_a_service_is_refused_when_an_older_one_has_the_name_it_needs(api: FakeApi, bench: Bench) -> None:
    bench.service("m")
    await bench.settle()
    bench.service("m-backend")
    await bench.settle()
    assert bench.condition("Ready", "m-backend")["reason"] == "NameTaken"
    assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["labels"]["serving.hearth.dev/llmservice"] == "m"


async def test_a_deleted_service_leaves_nothing_in_its_namespace(api: FakeApi, bench: Bench) -> None:
    bench.service()
    bench.service("n")
    await bench.settle()
    api.remove(SERVICES, "ns", "m")
    await bench.settle()
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "n"]
    assert "m" not in services_document(api)
    api.remove(SERVICES, "ns", "n")
    await bench.settle()
    assert [(kind.kind, name) for kind in CHILDREN for name in api.names(kind)] == []


async def test_a_changed_runtime_rolls_exactly_its_services(api: FakeApi, bench: Bench) -> None:
    bench.runtime("other")
    for number in range(4):
        bench.service(f"m{number}", runtime={"name": "other" if number % 2 else "engine"})
    await bench.settle()
    before = {name: api.wire(DEPLOYMENT, "ns", name)["metadata"]["generation"] for name in api.names(DEPLOYMENT)}
    api.requests.clear()
    bench.runtime("other", image="engine:2")
    await bench.settle()
    after = {name: api.wire(DEPLOYMENT, "ns", name)["metadata"]["generation"] for name in api.names(DEPLOYMENT)}
    assert {name for name in after if after[name] != before[name]} == {"m1", "m3"}
    assert {name for verb, kind, name in api.requests if (verb, kind) == ("apply", "Deployment")} == {"m1", "m3"}


async def test_a_runtime_that_comes_later_is_noticed(api: FakeApi, bench: Bench) -> None:
    bench.service(runtime={"name": "late"})
    await bench.settle()
    assert bench.condition("RuntimeResolved")["status"] == "False"
    assert api.names(DEPLOYMENT) == []
    bench.runtime("late")
    await bench.settle()
    assert api.has(DEPLOYMENT, "ns", "m")


async def test_an_edit_that_cannot_be_planned_leaves_what_runs(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    bench.service(runtime={"name": "nowhere"})
    await bench.settle()
    assert bench.condition("RuntimeResolved")["reason"] == "RuntimeNotFound"
    assert api.has(DEPLOYMENT, "ns", "m")
    assert "m" in services_document(api)


async def test_an_operator_that_cannot_plan_any_more_does_not_cut_off_what_runs(api: FakeApi, bench: Bench) -> None:
    """A vendor's plugin is missing from a new image, a runtime was deleted: known only to the operator before."""
    bench.runtime("other")
    bench.service(runtime={"name": "engine"})
    bench.service("n", runtime={"name": "other"})
    await bench.settle()
    bench.stop()
    api.remove(RUNTIMES, None, "engine")
    after = Bench(api, HOST)
    await after.start()
    assert after.condition("RuntimeResolved")["reason"] == "RuntimeNotFound"
    assert {"m", "n"} <= set(services_document(api))
    after.service("n", runtime={"name": "nowhere"})
    await after.settle()
    assert {"m", "n"} <= set(services_document(api))
    assert api.has(DEPLOYMENT, "ns", "hearth-gateway")
    api.remove(SERVICES, "ns", "m")
    await after.settle()
    assert "m" not in services_document(api)


async def test_a_gateway_is_not_taken_from_a_service_that_cannot_be_planned(api: FakeApi, bench: Bench) -> None:
    bench.service(runtime={"name": "engine"})
    bench.runtime("other")
    await bench.settle()
    bench.service("alone", runtime={"name": "other"}, endpoint={"gateway": "dedicated"})
    await bench.settle()
    bench.stop()
    api.remove(RUNTIMES, None, "engine")
    after = Bench(api, HOST)
    await after.start()
    assert api.has(DEPLOYMENT, "ns", "hearth-gateway")
    assert "m" in services_document(api)


async def test_an_alias_that_becomes_free_is_told(api: FakeApi, bench: Bench) -> None:
    for name in ("m", "n"):
        bench.service(name, endpoint={"aliases": ["both"]})
        await bench.settle()
    assert "'both' has no effect" in bench.condition("RuntimeResolved", "n")["message"]
    api.remove(SERVICES, "ns", "m")
    await bench.settle()
    assert "both" not in bench.condition("RuntimeResolved", "n")["message"]


async def test_without_keda_everything_else_works_and_it_is_noticed_when_it_comes(api: FakeApi) -> None:
    api.served.discard(SCALED_OBJECT)
    bench = Bench(api, HOST)
    bench.runtime("engine")
    await bench.start()
    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
    assert api.has(DEPLOYMENT, "ns", "m")
    assert bench.condition("Scaled")["reason"] == "KEDANotInstalled"
    api.served.add(SCALED_OBJECT)
    await bench.look_for_keda()
    await bench.settle()
    assert api.names(SCALED_OBJECT) == ["m"]


async def test_keda_that_is_taken_away_is_noticed(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
    api.served.discard(SCALED_OBJECT)
    del api.stored[SCALED_OBJECT, "ns", "m"]
    bench.service(scaling={"max": 4})
    await bench.settle()
    assert bench.condition("Scaled")["reason"] == "KEDANotInstalled"


async def test_a_dedicated_gateway_and_back(api: FakeApi, bench: Bench) -> None:
    bench.service(endpoint={"gateway": "dedicated"})
    await bench.settle()
    assert api.names(DEPLOYMENT) == ["m", "m-gateway"]
    bench.service()
    await bench.settle()
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]
    bench.service(endpoint={"gateway": "dedicated"})
    await bench.settle()
    assert api.names(DEPLOYMENT) == ["m", "m-gateway"]


async def test_the_budget_of_a_gateway_goes_with_its_second_replica(api: FakeApi) -> None:
    first = Bench(api, HOST, PlanOptions(gateway_replicas=2))
    first.runtime("engine")
    await first.start()
    first.service()
    await first.settle()
    assert api.names(BUDGET) == ["hearth-gateway"]
    first.stop()
    second = Bench(api, HOST, PlanOptions(gateway_replicas=1))
    await second.start()
    assert api.names(BUDGET) == []


async def test_a_prewarm_job_of_another_template_is_replaced(api: FakeApi, bench: Bench) -> None:
    bench.node()
    cache = {"strategy": "HostPath", "prewarm": True}
    bench.service(cache=cache)
    await bench.settle()
    before = api.wire(JOB, "ns", "m-prewarm")["metadata"]
    bench.service(cache=cache, model={"source": {"uri": "hf://org/other"}})
    await bench.settle()
    after = api.wire(JOB, "ns", "m-prewarm")["metadata"]
    assert after["uid"] != before["uid"]
    assert after["annotations"][TEMPLATE_ANNOTATION] != before["annotations"][TEMPLATE_ANNOTATION]


async def test_a_download_waits_for_a_node_that_the_engine_can_use(api: FakeApi, bench: Bench) -> None:
    bench.node("cpu", devices=0)
    bench.service(cache={"prewarm": True})
    await bench.settle(1.0)
    bench.gateway_up()
    await bench.settle()
    assert api.has(CLAIM, "ns", "m-cache")
    assert not api.has(JOB, "ns", "m-prewarm")
    assert api.has(SCALED_OBJECT, "ns", "m"), "the model can be used all the same"
    assert bench.condition("Prewarmed")["reason"] == "NoAccelerator"
    assert bench.queue.failing == 0
    bench.node("gpu")
    await bench.settle()
    assert places(api.wire(JOB, "ns", "m-prewarm")) == ["gpu"]
    assert bench.condition("Prewarmed")["reason"] == "Prewarming"


async def test_nodes_that_come_and_go_are_no_reason_to_download_again(api: FakeApi, bench: Bench) -> None:
    bench.node("gpu")
    bench.service(cache={"prewarm": True})
    await bench.settle()
    before = api.wire(JOB, "ns", "m-prewarm")
    bench.node("gpu-2")
    await bench.pruner.look(keda=True)
    bench.service(cache={"prewarm": True}, scaling={"max": 2})
    await bench.settle()
    assert api.wire(JOB, "ns", "m-prewarm")["metadata"]["uid"] == before["metadata"]["uid"]
    bench.clock.now += NODES_KEPT + 1
    api.remove(JOB, "ns", "m-prewarm")
    await bench.settle()
    assert places(api.wire(JOB, "ns", "m-prewarm")) == ["gpu", "gpu-2"]


async def test_nodes_that_cannot_be_listed_are_asked_for_again(api: FakeApi, bench: Bench) -> None:
    bench.node()
    api.refuse["list", "Node"] = 403, {"message": "nodes is forbidden"}
    bench.service(cache={"prewarm": True})
    await bench.settle()
    assert not api.has(JOB, "ns", "m-prewarm")
    assert bench.condition("Prewarmed")["reason"] == "Prewarming"
    api.refuse.clear()
    await bench.settle()
    assert places(api.wire(JOB, "ns", "m-prewarm")) == ["node-1"]


def places(job: Mapping[str, Any]) -> list[str]:
    """The hostnames that a Job's pod is kept to."""
    affinity = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("kubernetes.io/hostname", "In")
    names: list[str] = expression["values"]
    return names


async def test_a_claim_is_created_once(api: FakeApi, bench: Bench) -> None:
    bench.service(cache={"strategy": "NodeLocalPVC", "size": "10Gi"})
    await bench.settle()
    bench.service(cache={"strategy": "NodeLocalPVC", "size": "20Gi"})
    await bench.settle()
    assert [request for request in api.requests if request[1] == CLAIM.kind and request[0] != "list"] == [
        ("create", "PersistentVolumeClaim", "m-cache")
    ]


async def test_what_watches_lost_is_found_by_the_next_look(api: FakeApi, bench: Bench) -> None:
    bench.service()
    bench.service("n")
    await bench.settle()
    api.remove(DEPLOYMENT, "ns", "n", silently=True)
    api.remove(SERVICES, "ns", "m", silently=True)
    await bench.settle()
    assert not api.has(DEPLOYMENT, "ns", "n")
    await bench.pruner.look(keda=True)
    await bench.settle()
    assert api.has(DEPLOYMENT, "ns", "n")
    assert "m" not in services_document(api)


async def test_a_namespace_that_goes_is_left_alone(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    api.going.add("ns")
    for kind in CHILDREN:
        for name in api.names(kind):
            api.remove(kind, "ns", name)
    await bench.settle()
    assert bench.errors == []
    api.remove(SERVICES, "ns", "m")
    await bench.settle()
    assert bench.errors == []
    assert bench.queue.failing == 0


async def test_an_object_that_the_api_server_finds_invalid_is_said_once(api: FakeApi, bench: Bench) -> None:
    """Server-side apply answers a duplicate name in a list with 500."""
    message = "failed to create typed patch object (ns/m; apps/v1, Kind=Deployment): duplicate entries for key"
    api.refuse["apply", "Deployment"] = 500, {"message": message}
    bench.service()
    await bench.settle()
    assert [key for key, _ in bench.errors] == []
    assert bench.condition("Ready")["reason"] == "InvalidObject"


async def test_a_gateway_that_is_not_allowed_is_said_as_long_as_it_is_so(api: FakeApi, bench: Bench) -> None:
    bench.service("own", endpoint={"gateway": "dedicated"})
    bench.service()
    await bench.settle()
    api.refuse["apply", "Role"] = 403, {"message": "roles is forbidden: attempting to grant RBAC permissions not held"}
    api.remove(ROLE, "ns", "hearth-gateway")
    reasons = []
    for _ in range(5):
        await bench.settle(2.0)
        bench.intake.everything(0.0)
        reasons.append(bench.condition("Ready")["reason"])
    assert set(reasons) == {"Forbidden"}
    assert bench.condition("Ready", "own")["reason"] != "Forbidden", "its gateway is another one"
    api.refuse.clear()
    await bench.settle()
    assert bench.condition("Ready")["reason"] != "Forbidden"


async def test_a_service_looked_at_while_the_gateway_is_tried_again_says_the_same(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    api.refuse["apply", "Role"] = 403, {"message": "roles is forbidden"}
    api.remove(ROLE, "ns", "hearth-gateway")
    await bench.settle(1.0)
    looked = []

    def look(*_: object) -> None:
        looked.append(bench.reconciler._namespaces["ns"].error)

    api.watchers.append(look)
    api.remove(ACCOUNT, "ns", "hearth-gateway")  # a part that is applied before the one that fails
    await bench.settle(5.0)
    assert len(looked) > 1
    assert None not in looked


async def test_a_failing_api_server_is_tried_again_and_again(api: FakeApi, bench: Bench) -> None:
    api.refuse["apply", "Deployment"] = 503, {"message": "etcdserver: request timed out"}
    bench.service()
    await bench.settle(10.0)
    assert 3 < len(bench.errors) < 20
    api.refuse.clear()
    await bench.settle()
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]


async def test_the_status_is_written_only_when_it_changes(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    api.requests.clear()
    for _ in range(5):
        bench.intake.everything(0.0)
        await bench.settle()
    assert ("apply-status", "LLMService", "m") not in api.requests


async def test_a_pod_that_changes_is_seen_in_the_status(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
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
    await bench.settle()
    assert "image" in bench.condition("Ready")["message"]
    assert notices(api)["m"]


async def test_a_service_that_was_replaced_by_one_of_its_name_gets_new_objects(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    before = api.wire(DEPLOYMENT, "ns", "m")["metadata"]["uid"]
    api.remove(SERVICES, "ns", "m")
    bench.service()
    await bench.settle()
    after = api.wire(DEPLOYMENT, "ns", "m")["metadata"]
    assert after["uid"] != before
    assert after["ownerReferences"][0]["uid"] == api.wire(SERVICES, "ns", "m")["metadata"]["uid"]


def _steps() -> Iterator[tuple[int, bool]]:
    for step in range(1, 60):
        yield step, False
        yield step, True


@pytest.mark.parametrize(("step", "after_effect"), list(_steps()))
async def test_an_operator_that_dies_anywhere_is_taken_up_by_the_next(step: int, after_effect: bool) -> None:
    """Every request of the first reconciles is one to die at, before or after the API server did it."""
    api = FakeApi()
    bench = Bench(api, HOST)
    bench.runtime("engine")
    bench.node()
    seen: list[int] = []
    api.watchers.append(
        lambda kind, _, item: (
            seen.append(item["spec"]["replicas"]) if kind is DEPLOYMENT and item["metadata"]["name"] == "m" else None
        )
    )
    bench.service(cache={"strategy": "NodeLocalPVC", "prewarm": True})
    api.crash, api.crash_after_effect = step, after_effect
    try:
        await bench.start()
        if api.has(DEPLOYMENT, "ns", "hearth-gateway"):
            bench.gateway_up()
            await bench.settle()
    except Crash:
        bench.stop()
    api.crash = None
    second = Bench(api, HOST)
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


async def test_a_new_deployment_is_one_write(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    assert api.requests.count(("apply", "Deployment", "m")) == 1


@pytest.mark.parametrize("awake", [False, True])
async def test_the_first_change_of_a_deployment_is_one_change(api: FakeApi, bench: Bench, awake: bool) -> None:
    """Of one that another manager created: pods would be started for what lies between two."""
    bench.service(resources={"memory": "1Gi"})
    await bench.settle()
    if awake:
        api.scale("ns", "m", 2)
    specs = [api.wire(DEPLOYMENT, "ns", "m")["spec"]]
    api.watchers.append(
        lambda kind, _, item: (
            specs.append(item["spec"]) if kind is DEPLOYMENT and item["metadata"]["name"] == "m" else None
        )
    )
    bench.service(resources={"cpu": "1"})
    await bench.settle()
    assert "memory" not in serving(api)["resources"]["limits"]
    assert all(spec in (specs[0], specs[-1]) for spec in specs)
    assert {spec["replicas"] for spec in specs} == {2 if awake else 0}
    assert claims_of_the_first_manager(api) == ([] if awake else [{"f:spec": {"f:replicas": {}}}])


@pytest.mark.parametrize("refused", [False, True])
async def test_what_the_next_plan_leaves_out_goes_away(
    api: FakeApi, bench: Bench, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """Also when the first manager, which created it, does not hand it over and cannot let go of it at once."""
    api.refuse["patch", "Deployment"] = (422, {"message": "a test failed"})
    bench.service(resources={"memory": "1Gi"})
    await bench.settle()
    assert "memory" in serving(api)["resources"]["limits"]
    api.scale("ns", "m", 2)
    if refused:
        refuse_releases(api, monkeypatch, times=2)
    bench.service()
    await bench.settle(5.0)
    assert "memory" not in serving(api)["resources"]["limits"]
    assert api.wire(DEPLOYMENT, "ns", "m")["spec"]["replicas"] == 2
    assert claims_of_the_first_manager(api) == [{"f:spec": {"f:replicas": {}}}]
    assert bench.queue.failing == 0


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


async def test_a_job_that_is_replaced_holds_up_nothing_else(api: FakeApi, bench: Bench) -> None:
    bench.node()
    cache = {"strategy": "HostPath", "prewarm": True}
    bench.service(cache=cache)
    await bench.settle()
    api.stored[JOB, "ns", "m-prewarm"].deleting = True
    api.set_status(JOB, "ns", "m-prewarm", {"active": 1})
    bench.service(cache=cache, resources={"memory": "1Gi"})
    await bench.settle(5.0)
    assert "memory" in serving(api)["resources"]["limits"]
    api.remove(JOB, "ns", "m-prewarm")
    await bench.settle()
    assert api.has(JOB, "ns", "m-prewarm")
    assert bench.queue.failing == 0


async def test_an_object_of_somebody_else_that_would_not_even_clash_is_left_alone(api: FakeApi, bench: Bench) -> None:
    api.put(SERVICE, _name(SERVICE, "m-backend"))
    before = api.wire(SERVICE, "ns", "m-backend")
    bench.service()
    await bench.settle()
    assert api.wire(SERVICE, "ns", "m-backend") == before
    assert bench.condition("Ready")["reason"] == "NameTaken"


async def test_a_wake_is_no_reason_to_apply(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    api.requests.clear()
    api.scale("ns", "m", 1)
    await bench.settle()
    assert ("apply", "Deployment", "m") not in api.requests


async def test_a_child_that_lost_its_label_gets_it_back(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    label = ("metadata", "labels", "app.kubernetes.io/managed-by")
    api.put(SERVICE, {**_name(SERVICE, "m-backend", labels={label[2]: "me"})})
    await bench.settle()
    assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["labels"][label[2]] == "hearth"
    assert bench.queue.failing == 0


@pytest.mark.parametrize("gateway", ["shared", "dedicated"])
async def test_an_edit_during_an_apply_is_not_lost(
    api: FakeApi, bench: Bench, monkeypatch: pytest.MonkeyPatch, gateway: str
) -> None:
    """One worker applies the first plan while another one plans the namespace with the next."""
    apply, claimed = api.apply, []

    async def while_another_worker_plans(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        if kind is SERVICE and body["metadata"]["name"] == "m-backend" and not edited.done():
            edited.set_result(None)
            bench.service(resources={"memory": "1Gi"})
            bench.clock.now += 1.0
            await bench.reconciler.reconcile(Key("ns"))
        return await apply(kind, body, **how)

    def claim(kind: Kind, _: str, item: Mapping[str, Any]) -> None:
        if kind is SERVICES and any(
            at["observedGeneration"] == 2 for at in item.get("status", {}).get("conditions", ())
        ):
            claimed.append("memory" in serving(api)["resources"]["limits"])

    edited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(api, "apply", while_another_worker_plans)
    api.watchers.append(claim)
    bench.service(endpoint={"gateway": gateway})
    await bench.settle()
    assert edited.done()
    assert "memory" in serving(api)["resources"]["limits"]
    assert claimed
    assert all(claimed), "the status spoke of the next spec while the last one was applied"
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]
    assert bench.errors == []


@contextmanager
def late_watch(api: FakeApi) -> Iterator[None]:
    """What happens meanwhile is told by no watch yet."""
    watchers, api.watchers = api.watchers, []
    yield
    api.watchers = watchers


async def test_an_edit_that_the_answer_to_the_status_tells_first_is_not_lost(
    api: FakeApi, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, edited = api.apply, []

    async def after_an_edit(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        if how.get("subresource") == "status" and not edited:
            edited.append(True)
            with late_watch(api):
                bench.service(resources={"memory": "1Gi"})
                return await apply(kind, body, **how)
        return await apply(kind, body, **how)

    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
    monkeypatch.setattr(api, "apply", after_an_edit)
    scaler_ready(api)
    await bench.settle()
    bench.intake.event(SERVICES, "MODIFIED", api.wire(SERVICES, "ns", "m"))
    await bench.settle()
    assert edited
    assert "memory" in serving(api)["resources"]["limits"]


async def test_a_gateway_that_the_answer_to_an_apply_shows_as_available_is_noticed(
    api: FakeApi, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = api.apply

    async def once_it_is_up(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        if kind is not DEPLOYMENT or body["metadata"]["name"] != "hearth-gateway":
            return await apply(kind, body, **how)
        with late_watch(api):
            bench.gateway_up()
            return await apply(kind, body, **how)

    bench.service()
    await bench.settle()
    assert bench.condition("Ready")["reason"] == "GatewayStarting"
    monkeypatch.setattr(api, "apply", once_it_is_up)
    api.scale("ns", "hearth-gateway", 0)
    await bench.settle()
    bench.intake.event(DEPLOYMENT, "MODIFIED", api.wire(DEPLOYMENT, "ns", "hearth-gateway"))
    await bench.settle()
    assert bench.condition("Ready")["reason"] == "ScalerStarting"
    assert api.names(SCALED_OBJECT) == ["m"]


WEBHOOK = 500, {"message": 'failed calling webhook "policy.example": no endpoints available'}


async def test_an_api_server_that_fails_for_long_is_told(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
    scaler_ready(api)
    await bench.settle()
    assert bench.condition("Ready")["status"] == "True"
    api.refuse["apply", "Deployment"] = WEBHOOK
    bench.service(resources={"memory": "1Gi"})
    await bench.settle(30.0)
    assert bench.condition("Ready")["reason"] == "InternalError"
    assert "failed calling webhook" in bench.condition("Ready")["message"]
    api.refuse.clear()
    await bench.settle()
    assert bench.condition("Ready")["status"] == "True"


async def test_a_gateway_that_the_api_server_fails_to_take_for_long_is_told(api: FakeApi, bench: Bench) -> None:
    api.refuse["apply", "Deployment"] = WEBHOOK
    bench.service()
    await bench.settle(30.0)
    assert bench.condition("Ready")["reason"] == "InternalError"
    api.refuse.clear()
    await bench.settle()
    assert bench.condition("Ready")["reason"] == "GatewayStarting"


@pytest.mark.parametrize(("status", "reason"), [(409, "Conflict"), (503, "ApiUnavailable")])
async def test_an_api_server_that_stumbles_says_nothing_about_the_service(
    api: FakeApi, bench: Bench, status: int, reason: str
) -> None:
    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
    api.refuse["apply", "Service"] = status, {"message": "not now"}
    api.put(SERVICE, {**_name(SERVICE, "m"), "spec": {"selector": {"serving.hearth.dev/gateway": "other"}}})
    await bench.settle(1.0)
    assert bench.errors
    assert bench.condition("Ready")["reason"] == "ScalerStarting"
    await bench.settle(30.0)
    assert bench.condition("Ready")["reason"] == reason


async def test_a_large_namespace_that_fails_backs_off(
    api: FakeApi, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pace, which is a matter of size, must not count as a success."""
    apply = api.apply

    async def slow(kind: Kind, body: Mapping[str, Any], **how: Any) -> dict[str, Any]:
        bench.clock.now += 1.0 if kind is ROLE else 0.0
        return await apply(kind, body, **how)

    monkeypatch.setattr(api, "apply", slow)
    api.refuse["apply", "Role"] = 403, {"message": "roles is forbidden"}
    for number in range(25):
        bench.service(f"m{number}")
    await bench.settle(60.0)
    assert bench.queue.failing == 1
    api.requests.clear()
    await bench.settle(300.0)
    assert bench.queue.failing == 1
    assert 3 < len([request for request in api.requests if request[:2] == ("apply", "Role")]) < 8
    api.refuse.clear()
    await bench.settle()
    assert bench.queue.failing == 0


@pytest.mark.parametrize("name", ["m-backend", "hearth-gateway"])
async def test_a_name_that_becomes_free_is_taken_within_a_minute_or_so(api: FakeApi, bench: Bench, name: str) -> None:
    """The object of somebody else has no label of Hearth's, so no watch tells that it is gone."""
    api.put(SERVICE, _name(SERVICE, name))
    bench.service()
    await bench.settle()
    assert bench.condition("Ready")["reason"] == "NameTaken"
    api.remove(SERVICE, "ns", name)
    await bench.settle(90.0)
    assert bench.condition("Ready")["reason"] != "NameTaken"
    assert api.wire(SERVICE, "ns", name)["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "hearth"
    assert bench.errors == []
    assert bench.queue.failing == 0


async def test_an_object_that_becomes_valid_is_applied_within_a_minute_or_so(api: FakeApi, bench: Bench) -> None:
    """An admission webhook that refused it was corrected."""
    api.refuse["apply", "Deployment"] = 422, {"message": "admission webhook denied the request"}
    bench.service()
    await bench.settle()
    api.requests.clear()
    await bench.settle(150.0)
    assert 1 < api.requests.count(("apply", "Deployment", "m")) < 4
    assert ("apply-status", "LLMService", "m") not in api.requests
    api.refuse.clear()
    await bench.settle(90.0)
    assert api.names(DEPLOYMENT) == ["hearth-gateway", "m"]


@pytest.mark.parametrize("again", [False, True], ids=["gone", "another one"])
async def test_a_child_that_was_lost_in_a_gap_is_made_again_by_the_next_edit(
    api: FakeApi, bench: Bench, again: bool
) -> None:
    """The API server answers an apply to an object that is gone, or is another one by now, with 409."""
    bench.service()
    await bench.settle()
    with late_watch(api):
        owned = api.wire(DEPLOYMENT, "ns", "m")
        api.remove(DEPLOYMENT, "ns", "m")
        if again:
            api.put(DEPLOYMENT, {**owned, "metadata": {**owned["metadata"], "uid": ""}})
    bench.service(resources={"memory": "1Gi"})
    await bench.settle()
    assert bench.errors == []
    assert "memory" in serving(api)["resources"]["limits"]
    assert replicas(api) == 0


async def test_a_conflict_about_a_child_that_is_there_is_an_error(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    uid = api.wire(SERVICE, "ns", "m-backend")["metadata"]["uid"]
    api.refuse["apply", "Service"] = 409, {"message": "the object has been modified"}
    api.put(SERVICE, {**_name(SERVICE, "m-backend"), "spec": {"selector": {"app": "theirs"}}})
    await bench.settle(2.0)
    assert {error.reason for _, error in bench.errors} == {"Conflict"}
    api.refuse.clear()
    await bench.settle()
    assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["uid"] == uid
    assert bench.queue.failing == 0


def break_runtime(bench: Bench, name: str = "engine", image: str = "engine:2") -> None:
    """The API server takes keys of free mappings as they come; the models do not."""
    broken = runtime_manifest(name, image=image)
    broken["spec"]["accelerator"]["nodeSelector"] = {"no key!": "x"}
    bench.api.put_whole(RUNTIMES, broken)


async def test_a_runtime_that_only_the_models_refuse_is_said_to_be_invalid(api: FakeApi, bench: Bench) -> None:
    break_runtime(bench, "broken")
    bench.service(runtime={"name": "broken"})
    await bench.settle()
    condition = bench.condition("RuntimeResolved")
    assert condition["reason"] == "RuntimeInvalid"
    assert "InferenceRuntime 'broken' is not valid: spec.accelerator.nodeSelector" in condition["message"]
    bench.runtime("broken")
    await bench.settle()
    assert bench.condition("RuntimeResolved")["status"] == "True"


async def test_a_runtime_that_becomes_invalid_is_used_as_it_was(
    api: FakeApi, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.service()
    await bench.settle()
    break_runtime(bench)
    bench.service("n")
    await bench.settle()
    assert serving(api)["image"] == "engine:1"
    assert api.has(DEPLOYMENT, "ns", "n")
    assert "InferenceRuntime engine is not valid" in caplog.text
    for name in ("m", "n"):
        condition = bench.condition("RuntimeResolved", name)
        assert condition["status"] == "True"
        assert "'engine' is not valid any more, and is used as it was" in condition["message"]
    bench.runtime("engine", image="engine:2")
    await bench.settle()
    assert serving(api)["image"] == "engine:2"
    assert "valid" not in bench.condition("RuntimeResolved")["message"]


async def test_an_invalid_runtime_that_is_deleted_is_forgotten(api: FakeApi, bench: Bench) -> None:
    break_runtime(bench, "broken")
    bench.service(runtime={"name": "broken"})
    await bench.settle()
    api.remove(RUNTIMES, None, "broken", silently=True)
    await bench.pruner.look(keda=True)
    await bench.settle()
    assert bench.condition("RuntimeResolved")["reason"] == "RuntimeNotFound"


async def test_a_child_that_lost_the_name_of_its_service_gets_it_back(api: FakeApi, bench: Bench) -> None:
    bench.service()
    bench.service("n")
    await bench.settle()
    for name in ("", "n"):
        api.put(SERVICE, _name(SERVICE, "m-backend", labels={SERVICE_LABEL: name}))
        await bench.settle()
        assert api.wire(SERVICE, "ns", "m-backend")["metadata"]["labels"][SERVICE_LABEL] == "m"
    assert bench.errors == []


async def test_that_keda_looked_again_is_no_reason_to_look(api: FakeApi, bench: Bench) -> None:
    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
    bench.reconciled.clear()
    for second in range(3):
        api.set_status(SCALED_OBJECT, "ns", "m", {"lastActiveTime": f"2026-01-01T00:00:0{second}Z"})
        await bench.settle()
    assert bench.reconciled == [Key("ns", "m")], "only the first one says something new"


async def test_an_object_older_than_the_rule_for_names_disturbs_nobody(api: FakeApi, bench: Bench) -> None:
    bench.service()
    name = "Older.than-the-rule"
    api.put_whole(SERVICES, {**manifest(name), "spec": {}})
    await bench.pruner.look(keda=True)
    await bench.settle()
    assert bench.condition("Ready", name)["reason"] == "InvalidSpec"
    assert bench.condition("Ready")["reason"] == "GatewayStarting"
    assert bench.errors == []


async def test_what_says_nothing_new_is_no_reason_to_look(api: FakeApi, bench: Bench) -> None:
    """Controllers write much into the status of a sleeping model's objects that no sentence is made of."""
    bench.service()
    await bench.settle()
    bench.gateway_up()
    await bench.settle()
    api.requests.clear()
    progressing = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    api.set_status(DEPLOYMENT, "ns", "m", {"observedGeneration": 1, "conditions": [progressing]})
    active = {"type": "Active", "status": "False", "reason": "ScalerNotActive"}
    ready = api.wire(SCALED_OBJECT, "ns", "m").get("status", {}).get("conditions", [])
    api.set_status(SCALED_OBJECT, "ns", "m", {"scaleTargetKind": "apps/v1.Deployment", "conditions": [*ready, active]})
    await bench.settle()
    assert api.requests == []
