"""Rights of the operator: they suffice for what planning makes. From the golden file, which a test keeps equal to the chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from hearth.api import GatewayPod, parse_gateway_pod, parse_manifests
from hearth.operator.kubernetes.kinds import CHILDREN
from hearth.planning import (
    CREATED_ONCE,
    KINDS,
    PlanOptions,
    make_plan,
    plan_namespace,
)
from hearth.plugins import VendorHost
from tests.chart.support import objects

GOLDEN = Path(__file__).parent / "golden"
MANIFEST = """
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {name: m, namespace: ai}
spec:
  model: {source: {uri: hf://acme/m}}
  runtime: {selector: {vendor: [fake]}}
"""
ADDRESSES = {(kind.api_version, kind.kind): (kind.group, kind.plural) for kind in CHILDREN}

Right = tuple[str, str, str]
"""API group, resource, verb."""


def rights(rules: Iterable[Mapping[str, Any]]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def held() -> set[Right]:
    rules = objects((GOLDEN / "default.yaml").read_text())["ClusterRole", "hearth-operator"]["rules"]
    assert not any("resourceNames" in rule for rule in rules)
    return rights(rules)


def test_no_wildcards_and_no_way_up() -> None:
    for group, resource, verb in held():
        assert "*" not in (group, resource, verb)
        assert verb not in {"escalate", "bind", "impersonate"}
        assert resource not in {"secrets", "pods/exec", "nodes/proxy", "serviceaccounts/token"}


def test_the_operator_holds_what_it_gives_to_gateways() -> None:
    """Otherwise the API server refuses the Role, and no gateway ever starts."""
    [service] = parse_manifests(MANIFEST).services
    host = VendorHost.load()
    runtimes = [packaged.manifest for packaged in host.runtimes()]
    plan = make_plan(service, runtimes=runtimes, host=host, target="cluster")
    made = plan_namespace("ai", [plan], PlanOptions()).objects
    [role] = [item for item in made if item["kind"] == "Role"]
    assert rights(role["rules"]) <= held()


def test_every_planned_kind_can_be_made() -> None:
    for kind, version in KINDS.items():
        group, resource = ADDRESSES[version, kind]
        needed = {"create", "list", "watch"} | (set() if kind in CREATED_ONCE else {"patch"})
        assert {(group, resource, verb) for verb in needed} <= held(), kind


def test_the_pod_is_restricted() -> None:
    made = objects((GOLDEN / "everything.yaml").read_text())
    spec = made["Deployment", "hearth-operator"]["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert all(set(volume) == {"name", "emptyDir"} for volume in spec["volumes"])


def test_the_arguments_are_those_of_the_program() -> None:
    made = objects((GOLDEN / "two-replicas.yaml").read_text())
    [container] = made["Deployment", "hearth-operator"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["hearth", "operator"]
    assert container["args"] == [
        "--scaler=metrics-api",
        "--image-registry=registry.example.com/hearth",
        "--gateway-image=registry.example.com/hearth/hearth-gateway:0.1.0",
        "--gateway-replicas=2",
        '--gateway-pod={"imagePullPolicy":"IfNotPresent","imagePullSecrets":[],"nodeSelector":{},"priorityClassName":"",'
        '"resources":{"limits":{"memory":"2Gi"},"requests":{"cpu":"50m","memory":"128Mi"}},"tolerations":[]}',
        "--listen=:8081",
        "--log-format=json",
        "--workers=4",
        "--leader-elect",
    ]


def gateway_pod(name: str) -> GatewayPod:
    """Return what the operator of a golden file makes of its values for gateways."""
    made = objects((GOLDEN / f"{name}.yaml").read_text())
    [container] = made["Deployment", "hearth-operator"]["spec"]["template"]["spec"]["containers"]
    [argument] = [each for each in container["args"] if each.startswith("--gateway-pod=")]
    return parse_gateway_pod(argument.partition("=")[2])


def test_the_defaults_for_gateways_are_the_programs() -> None:
    assert gateway_pod("default") == GatewayPod(image_pull_policy="IfNotPresent")


def test_every_value_for_gateways_arrives_in_their_pods() -> None:
    pod = gateway_pod("everything")
    assert pod.spec() == {
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "gateways", "operator": "Exists"}],
        "priorityClassName": "high",
    }
    assert pod.container() == {
        "imagePullPolicy": "Always",
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
    }


def test_golden_files_are_yaml() -> None:
    for path in GOLDEN.iterdir():
        assert list(yaml.safe_load_all(path.read_text()))
