"""The services of a namespace together: the gateway that they share, and what they take from each other."""

from __future__ import annotations

import json
from typing import Any

from hearth.planning import (
    Plan,
    gateway_entries,
    make_plan,
    plan_namespace,
)
from tests.planning.plans import entries, gateway, objects, one, runtime, service
from tests.support.vendors import host


def test_one_gateway_serves_a_namespace() -> None:
    plans = [one(name="b"), one(name="a"), one({"endpoint": {"gateway": "dedicated"}}, name="own")]
    shared = plan_namespace("ai", plans)
    assert list(entries(shared)) == ["a", "b"]
    assert entries(shared)["a"] == plans[1].gateway
    [own] = json.loads(objects(plans[2])["ConfigMap", "own-gateway"]["data"]["services.json"])["services"]
    assert own == plans[2].gateway
    assert plan_namespace("ai", plans[2:]).objects == ()
    assert plan_namespace("ai", []).objects == ()


def test_services_that_come_and_go_do_not_restart_the_gateway() -> None:
    few = plan_namespace("ai", [one(name="a")])
    many = plan_namespace(
        "ai",
        [
            one(name="a"),
            one({"imagePullSecrets": [{"name": "reg"}], "scaling": {"activationTimeout": "2h"}}, name="b"),
        ],
    )
    assert gateway(few)["Deployment"] == gateway(many)["Deployment"]
    assert gateway(many)["ServiceAccount"]["imagePullSecrets"] == [{"name": "reg"}]


def test_the_older_service_keeps_an_alias() -> None:
    def named(name: str, created: str, *aliases: str) -> Plan:
        return one({"endpoint": {"aliases": list(aliases)}}, name=name, creationTimestamp=created)

    old, new = named("new", "2026-02-01T00:00:00Z", "x", "y", "old"), named("old", "2026-01-01T00:00:00Z", "x", "x")
    shared = plan_namespace("ai", [old, new])
    assert entries(shared)["old"]["aliases"] == ["x"]
    assert entries(shared)["new"]["aliases"] == ["y"]
    assert shared.warnings == {
        "new": (
            "spec.endpoint.aliases: 'x' has no effect: it leads to LLMService 'old'",
            "spec.endpoint.aliases: 'old' has no effect: it leads to LLMService 'old'",
        )
    }


def test_names_that_are_derived_names_of_others_are_refused() -> None:
    older, newer = one(name="foo"), one(name="foo-backend")
    shared = plan_namespace("ai", [newer, older])
    assert list(shared.refused) == ["foo-backend"]
    assert "needs the Service 'foo-backend', which is that of LLMService 'foo'" in shared.refused["foo-backend"].message
    assert list(entries(shared)) == ["foo"]


def test_a_namespace_may_have_more_services_than_a_config_map_holds() -> None:
    long = [f"{'x' * 240}{number}" for number in range(5000)]
    first, second = (
        one({"endpoint": {"aliases": names}}, name=name) for name, names in (("a", long[:2500]), ("b", long[2500:]))
    )
    third = one(name="c")
    shared = plan_namespace("ai", [third, second, first])
    assert list(shared.refused) == ["b"]
    assert shared.refused["b"].reason == "TooManyServices"
    assert list(entries(shared)) == ["a", "c"]


def cluster(name: str, *aliases: str) -> Any:
    made = service({"endpoint": {"aliases": list(aliases)}}, name=name)
    return make_plan(made, runtimes=[runtime()], host=host(), target="cluster")


def config(shared: Any) -> Any:
    return next(item for item in shared.objects if item["kind"] == "ConfigMap")


def test_what_the_gateway_knows_of_a_service_that_cannot_be_planned_is_kept() -> None:
    before = config(plan_namespace("ai", [cluster("a", "x", "b"), cluster("c")]))
    kept = [entry for entry in gateway_entries(before) if entry["name"] == "a"]
    shared = plan_namespace("ai", [cluster("b", "x"), cluster("c")], kept=kept)
    assert [(entry["name"], entry.get("aliases")) for entry in gateway_entries(config(shared))] == [
        ("a", ["x"]),  # what it had it keeps, but for the name of a service that came later
        ("b", None),
        ("c", None),
    ]
    assert "leads to LLMService 'a'" in shared.warnings["b"][0]
    assert plan_namespace("ai", [], kept=kept).objects
    assert gateway_entries(config(plan_namespace("ai", [cluster("a")], kept=kept))) == (cluster("a").gateway,)
