"""The pods of a gateway."""

from __future__ import annotations

from hearth.api import parse_gateway_pod
from hearth.planning import (
    PlanOptions,
    plan_namespace,
)
from tests.planning.plans import OPTIONS, gateway, objects, one
from tests.planning.validity import restricted


def test_the_gateways_pods() -> None:
    deployment = gateway(plan_namespace("ai", [one()]))["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    restricted(pod)
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["args"] == [
        "--config-map=hearth-gateway",
        "--peers=hearth-gateway",
        "--listen=:8080",
        "--scaler-listen=:9090",
        "--grace=900",
    ]
    assert pod["terminationGracePeriodSeconds"] > 900
    own = objects(one({"endpoint": {"gateway": "dedicated"}}, options=OPTIONS[1]))["Deployment", "tiny-gateway"]
    [container] = own["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["--config-map=tiny-gateway", "--peers=tiny"]
    assert [port["name"] for port in container["ports"]] == ["http", "scaler"]


def test_neither_scaler_mode_restarts_the_gateway() -> None:
    push, poll = (gateway(plan_namespace("ai", [one()], options)) for options in OPTIONS[:2])
    assert push == poll


def test_a_budget_for_several_replicas_only() -> None:
    assert "PodDisruptionBudget" not in gateway(plan_namespace("ai", [one()]))
    several = gateway(plan_namespace("ai", [one()], OPTIONS[2]))
    assert several["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert several["Deployment"]["spec"]["replicas"] == 2
    assert several["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"] == "own:1"


def test_what_the_owner_of_the_cluster_says_of_gateways() -> None:
    pod = parse_gateway_pod(
        '{"resources": {"limits": {"memory": "4Gi"}}, "imagePullPolicy": "Never", "imagePullSecrets": ["mirror"],'
        ' "nodeSelector": {"pool": "cpu"}, "tolerations": [{"key": "pool", "operator": "Exists"}], "priorityClassName": "high"}'
    )
    spec = gateway(plan_namespace("ai", [one()], PlanOptions(gateway_pod=pod)))["Deployment"]["spec"]["template"][
        "spec"
    ]
    assert spec["containers"][0]["resources"] == {"limits": {"memory": "4Gi"}}
    assert spec["containers"][0]["imagePullPolicy"] == "Never"
    assert spec["imagePullSecrets"] == [{"name": "mirror"}]
    assert spec["nodeSelector"] == {"pool": "cpu"}
    assert spec["tolerations"] == [{"key": "pool", "operator": "Exists"}]
    assert spec["priorityClassName"] == "high"


def test_the_default_image_has_the_gateways_version() -> None:
    from importlib.metadata import version

    assert PlanOptions().gateway_image.endswith(f":{version('hearth-gateway')}")
