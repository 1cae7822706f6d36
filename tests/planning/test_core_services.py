"""The Services of an LLMService and of its gateway."""

from __future__ import annotations

import pytest

from hearth.planning import (
    PlanOptions,
    plan_namespace,
)
from tests.planning.plans import OPTIONS, gateway, objects, one


def test_the_services_of_a_service() -> None:
    made = objects(one(runtime_spec={"container": {"image": "e", "port": {"name": "api", "containerPort": 9000}}}))
    backend = made["Service", "tiny-backend"]["spec"]
    assert backend["selector"] == {"serving.hearth.dev/llmservice": "tiny"}
    assert [(port["port"], port["targetPort"]) for port in backend["ports"]] == [(80, "api")]
    assert "publishNotReadyAddresses" not in backend  # slices list them anyway, and would call them ready
    clients = made["Service", "tiny"]["spec"]
    assert clients["selector"] == {"serving.hearth.dev/gateway": "hearth-gateway"}
    assert [(port["port"], port["targetPort"]) for port in clients["ports"]] == [(80, "http")]
    dedicated = objects(one({"endpoint": {"gateway": "dedicated"}}))
    assert dedicated["Service", "tiny"]["spec"]["selector"] == {"serving.hearth.dev/gateway": "tiny"}
    assert list(made) == list(objects(one(options=OPTIONS[1])))  # the mode changes what KEDA does, and no object


@pytest.mark.parametrize("options", OPTIONS)
def test_the_gateways_replicas_are_found_at_both_ports(options: PlanOptions) -> None:
    """KEDA asks at the Service's scaler port; the replicas ask each other at the slices' port of that name."""
    shared = gateway(plan_namespace("ai", [one(options=options)], options))["Service"]
    own = objects(one({"endpoint": {"gateway": "dedicated"}}, options=options))["Service", "tiny"]
    for item in (shared, own):
        ports = [(port["name"], port["port"], port["targetPort"]) for port in item["spec"]["ports"]]
        assert ports == [("http", 80, "http"), ("scaler", 9090, "scaler")]
