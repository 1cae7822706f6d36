"""Planned objects with the values of a live cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hearth.planning import (
    ACCOUNT_ANNOTATION,
    LiveValues,
    bind,
    plan_namespace,
)
from tests.planning.plans import OPTIONS, objects, one, together
from tests.planning.test_prewarm import PREWARM, job
from tests.planning.validity import check, of


def bound(objects: Any, **live: Any) -> list[Any]:
    return [bind(item, LiveValues(**live)) for item in objects]


def notices(objects: Any, name: str) -> Any:
    [config] = [item for item in of(objects, "ConfigMap") if item["metadata"]["name"] == name]
    return json.loads(config["data"]["notices.json"]) if "notices.json" in config["data"] else None


def test_the_gateways_ip_takes_the_place_of_its_name() -> None:
    [item] = [item for item in one().objects if item["kind"] == "ScaledObject"]
    for address, written in (("10.1.2.3", "10.1.2.3:9090"), ("fd00::1", "[fd00::1]:9090")):
        [trigger] = bind(item, LiveValues(gateway_ip=address))["spec"]["triggers"]
        assert trigger == {
            "type": "external-push",
            "metadata": {"scalerAddress": written, "targetValue": trigger["metadata"]["targetValue"]},
        }
    [polled] = [item for item in one(options=OPTIONS[1]).objects if item["kind"] == "ScaledObject"]
    assert bind(polled, LiveValues(gateway_ip="10.1.2.3")) == polled


@pytest.mark.parametrize("requirements", [[], [{"key": "old", "operator": "DoesNotExist"}]])
def test_prewarm_is_kept_to_nodes_and_keeps_its_digest(requirements: list[Any]) -> None:
    made = one(PREWARM, {"accelerator": {"resourceName": "acme.dev/chip", "nodeRequirements": requirements}})
    before = job(made)
    kept = bind(before, LiveValues(hostnames=("a", "b")))
    check([*(item for item in together([made]) if item["kind"] != "Job"), kept])
    spec = kept["spec"]["template"]["spec"]
    [term] = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    hostnames = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["a", "b"]}
    assert term == {"matchExpressions": [*requirements, hostnames]}
    assert kept["metadata"] == before["metadata"]
    assert {**spec, "affinity": None} == {**before["spec"]["template"]["spec"], "affinity": None}
    assert job(made) == before, "what is planned is not touched"


def test_what_waiting_clients_are_told() -> None:
    plans = [one(name="a"), one(name="b")]
    quiet = plan_namespace("ai", plans)
    told = bound(quiet.objects, notices={"b": "no node has\n acme.dev/chip", "gone": "x", "a": ""})
    assert notices(quiet.objects, "hearth-gateway") is None
    assert notices(told, "hearth-gateway") == {"b": "no node has acme.dev/chip"}
    assert [item for item in told if item not in quiet.objects] == of(told, "ConfigMap")


def test_a_gateway_of_its_own_tells_its_own_clients() -> None:
    own = one({"endpoint": {"gateway": "dedicated"}})
    told = bound(own.objects, notices={"tiny": "no node has acme.dev/chip"})
    assert notices(told, "tiny-gateway") == {"tiny": "no node has acme.dev/chip"}
    assert [item for item in told if item not in own.objects] == of(told, "ConfigMap")


def test_notices_never_make_the_config_map_too_large() -> None:
    plans = [one(name=f"a{number}") for number in range(60)]
    long = [f"{'x' * 240}{number}" for number in range(3900)]
    full = one({"endpoint": {"aliases": long}}, name="full")
    sentences = {made.service.metadata.name: "é" * 400 for made in plans}
    told = bound(plan_namespace("ai", [*plans, full]).objects, notices=sentences)
    said = notices(told, "hearth-gateway")
    assert 0 < len(said) < len(plans)
    assert {len(sentence) for sentence in said.values()} == {300}
    assert said["a0"].endswith("é…")
    check([*told, *(item for made in [*plans, full] for item in made.objects)])


def test_without_live_values_objects_stay_as_they_were_planned() -> None:
    for item in together([one({**PREWARM, "endpoint": {"gateway": "dedicated"}})]):
        assert bind(item, LiveValues()) is item


def test_only_a_gateways_pods_are_bound_to_its_account() -> None:
    made = objects(one({"endpoint": {"gateway": "dedicated"}}))
    live = LiveValues(account_uid="0b8f")
    template = bind(made["Deployment", "tiny-gateway"], live)["spec"]["template"]
    assert template["metadata"]["annotations"] == {ACCOUNT_ANNOTATION: "0b8f"}
    engine = made["Deployment", "tiny"]
    assert bind(engine, live) is engine
