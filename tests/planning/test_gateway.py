"""The gateway's entry is one that the gateway takes, and says what the service says."""

from typing import Any

import pytest

from hearth.planning import gateway_entries, make_plan, plan_namespace
from hearth_gateway import parse_services

from .support import host, plan, runtime, service


def test_a_plain_service() -> None:
    made = plan(target="local")
    assert made.gateway == {
        "name": "tiny",
        "namespace": "ai",
        "coldStart": {"mode": "keepalive", "heartbeatIntervalSeconds": 10.0},
        "activationTimeoutSeconds": 300.0,
        "probe": {"path": "/health"},
    }
    [config] = parse_services({"services": [made.gateway]})
    assert config.name == "tiny"


def test_everything_that_a_service_can_say() -> None:
    made = plan(
        {
            "scaling": {"activationTimeout": "90s"},
            "endpoint": {
                "aliases": ["small"],
                "coldStart": {"mode": "reject", "heartbeatInterval": "500ms"},
                "limits": {"maxHeld": 7},
            },
        },
        {"health": {"readiness": {"httpGet": {"path": "/ready", "port": "http"}}}},
    )
    assert made.gateway["aliases"] == ["small"]
    assert made.gateway["coldStart"] == {"mode": "reject", "heartbeatIntervalSeconds": 0.5}
    assert made.gateway["activationTimeoutSeconds"] == 90
    assert made.gateway["limits"]["maxHeld"] == 7
    assert made.gateway["probe"] == {"path": "/ready"}
    assert len(parse_services({"services": [made.gateway]})) == 1


def test_a_readiness_probe_that_is_not_http_leaves_the_gateways_own() -> None:
    made = plan(runtime_spec={"health": {"readiness": {"tcpSocket": {"port": "http"}}}})
    assert "probe" not in made.gateway


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


@pytest.mark.parametrize(
    "config", [{}, {"data": None}, {"data": {"services.json": "{"}}, {"data": {"services.json": "[1]"}},
               {"data": {"services.json": '{"services": [1, {"hosts": []}, {"name": 2}]}'}}]
)  # fmt: skip
def test_a_document_that_is_not_ours_has_no_entries(config: Any) -> None:
    assert gateway_entries(config) == ()
