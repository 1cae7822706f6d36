"""One service over an API server in memory: its objects, its status, and what its clients are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from hearth.operator.cache import Key
from hearth.operator.kubernetes.kinds import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    LLM_SERVICE,
    POD,
    SCALED_OBJECT,
    SERVICE,
    Kind,
)
from hearth.operator.status.observer import NODES_KEPT
from tests.operator.harness import (
    HOST,
    WEBHOOK,
    Harness,
    late_watch,
    manifest,
    named,
    replicas,
    services_document,
    serving,
)
from tests.support.fake_api import FakeApi


def scaler_ready(api: FakeApi, name: str = "m") -> None:
    """KEDA has taken the ScaledObject."""
    condition = {"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": ""}
    api.set_status(SCALED_OBJECT, "ns", name, {"conditions": [condition]})


def places(job: Mapping[str, Any]) -> list[str]:
    """Return the hostnames that a Job's pod is kept to."""
    affinity = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("kubernetes.io/hostname", "In")
    names: list[str] = expression["values"]
    return names


def notices(api: FakeApi) -> Mapping[str, str]:
    data = api.wire(CONFIG_MAP, "ns", "hearth-gateway")["data"]
    found: Mapping[str, str] = json.loads(data.get("notices.json", "{}"))
    return found


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


async def test_what_a_new_plan_leaves_out_goes_away(api: FakeApi, harness: Harness) -> None:
    """The manager of the first apply must not keep it alive."""
    harness.service(resources={"memory": "1Gi"})
    await harness.settle()
    assert "memory" in serving(api)["resources"]["limits"]
    harness.service()
    await harness.settle()
    assert "memory" not in serving(api)["resources"]["limits"]


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


async def test_an_object_that_the_api_server_finds_invalid_is_said_once(api: FakeApi, harness: Harness) -> None:
    """Server-side apply answers a duplicate name in a list with 500."""
    message = "failed to create typed patch object (ns/m; apps/v1, Kind=Deployment): duplicate entries for key"
    api.refuse["apply", "Deployment"] = 500, {"message": message}
    harness.service()
    await harness.settle()
    assert [key for key, _ in harness.errors] == []
    assert harness.condition("Ready")["reason"] == "InvalidObject"


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
            **named(
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


async def test_a_wake_is_no_reason_to_apply(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.requests.clear()
    api.scale("ns", "m", 1)
    await harness.settle()
    assert ("apply", "Deployment", "m") not in api.requests


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


@pytest.mark.parametrize(("status", "reason"), [(409, "Conflict"), (503, "ApiUnavailable")])
async def test_an_api_server_that_stumbles_says_nothing_about_the_service(
    api: FakeApi, harness: Harness, status: int, reason: str
) -> None:
    harness.service()
    await harness.settle()
    harness.gateway_up()
    await harness.settle()
    api.refuse["apply", "Service"] = status, {"message": "not now"}
    api.put(SERVICE, {**named(SERVICE, "m"), "spec": {"selector": {"serving.hearth.dev/gateway": "other"}}})
    await harness.settle(1.0)
    assert harness.errors
    assert harness.condition("Ready")["reason"] == "ScaledObjectPending"
    await harness.settle(30.0)
    assert harness.condition("Ready")["reason"] == reason


async def test_an_object_older_than_the_rule_for_names_disturbs_nobody(api: FakeApi, harness: Harness) -> None:
    harness.service()
    name = "Older.than-the-rule"
    api.put_whole(LLM_SERVICE, {**manifest(name), "spec": {}})
    await harness.resync.run()
    await harness.settle()
    assert harness.condition("Ready", name)["reason"] == "InvalidSpec"
    assert harness.condition("Ready")["reason"] == "GatewayStarting"
    assert harness.errors == []
