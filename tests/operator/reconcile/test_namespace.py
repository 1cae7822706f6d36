"""What the services of a namespace share: the gateway, its configuration, and who may be served by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hearth.operator.kubernetes.kinds import (
    ACCOUNT,
    BUDGET,
    CHILDREN,
    CONFIG_MAP,
    DEPLOYMENT,
    INFERENCE_RUNTIME,
    LLM_SERVICE,
    ROLE,
    SCALED_OBJECT,
    SERVICE,
    Kind,
)
from hearth.planning import ACCOUNT_ANNOTATION, PlanOptions
from tests.operator.harness import (
    HOST,
    WEBHOOK,
    Harness,
    late_watch,
    replicas,
    services_document,
)
from tests.support.fake_api import FakeApi


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


async def test_the_replicas_of_a_gateway_are_put_right(api: FakeApi, harness: Harness) -> None:
    harness.service()
    await harness.settle()
    api.scale("ns", "hearth-gateway", 0)
    await harness.settle()
    assert replicas(api, "hearth-gateway") == 1


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


async def test_a_gateway_that_the_api_server_fails_to_take_for_long_is_told(api: FakeApi, harness: Harness) -> None:
    api.refuse["apply", "Deployment"] = WEBHOOK
    harness.service()
    await harness.settle(30.0)
    assert harness.condition("Ready")["reason"] == "InternalError"
    api.refuse.clear()
    await harness.settle()
    assert harness.condition("Ready")["reason"] == "GatewayStarting"


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
