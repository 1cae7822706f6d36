"""The operator over an API server in memory: what it applies, leaves alone, brings back and takes away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

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
from hearth.planning import ACCOUNT_ANNOTATION, TEMPLATE_ANNOTATION, PlanOptions
from hearth.plugins import VendorHost

from .bench import Bench
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
    cache = {"strategy": "HostPath", "prewarm": True}
    bench.service(cache=cache)
    await bench.settle()
    before = api.wire(JOB, "ns", "m-prewarm")["metadata"]
    bench.service(cache=cache, model={"source": {"uri": "hf://org/other"}})
    await bench.settle()
    after = api.wire(JOB, "ns", "m-prewarm")["metadata"]
    assert after["uid"] != before["uid"]
    assert after["annotations"][TEMPLATE_ANNOTATION] != before["annotations"][TEMPLATE_ANNOTATION]


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
    owned = [m for m in api.wire(DEPLOYMENT, "ns", "m")["metadata"]["managedFields"] if m["manager"] == "hearth-init"]
    assert [entry["fieldsV1"] for entry in owned] == [{"f:spec": {"f:replicas": {}}}]


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
