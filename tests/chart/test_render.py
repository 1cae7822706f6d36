"""Rendering of the chart. Needs Helm and no cluster."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.support import CHART, REGISTRY, helm, objects, render, render_with, template, values
from tests.chart.test_values import leaves

pytestmark = pytest.mark.cluster

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "default": {},
    "two-replicas": {
        "operator.replicas": 2,
        "operator.leaderElect": True,
        "gateway.replicas": 2,
        "scaler.mode": "metrics-api",
    },
    "everything": {
        "image.registry": "mirror.example.com:5000/hearth",
        "operator.image": {
            "repository": "operator",
            "tag": "0.1.0-mychip",
            "pullPolicy": "Always",
            "pullSecrets": ["registry"],
        },
        "operator.extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "operator.podAnnotations": {"example.com/team": "ml"},
        "operator.podLabels": {"team": "ml"},
        "operator.nodeSelector": {"kubernetes.io/os": "linux"},
        "operator.tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
        "operator.affinity": {"nodeAffinity": {}},
        "operator.priorityClassName": "system-cluster-critical",
        "operator.logFormat": "text",
        "gateway.image": {
            "repository": "gateway",
            "tag": "0.1.0",
            "pullPolicy": "Always",
            "pullSecrets": ["registry"],
        },
        "gateway.resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "gateway.nodeSelector": {"kubernetes.io/os": "linux"},
        "gateway.tolerations": [{"key": "gateways", "operator": "Exists"}],
        "gateway.priorityClassName": "high",
        "rbac.ownerFinalizers": True,
        "serviceMonitor.enabled": True,
        "serviceMonitor.labels": {"release": "prometheus"},
        "podMonitor.enabled": True,
        "podMonitor.labels": {"release": "prometheus"},
        "prometheusRule.labels": {"release": "prometheus"},
        "dashboard.annotations": {"grafana_folder": "LLM"},
        "networkPolicy.enabled": True,
        "networkPolicy.namespaces": ["ai", "research"],
        "networkPolicy.scrapersFrom": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        ],
    },
}
NEEDS: dict[str, dict[str, Any]] = {
    "serviceMonitor": {"serviceMonitor.enabled": True},
    "podMonitor": {"podMonitor.enabled": True},
    "prometheusRule": {"prometheusRule.enabled": True},
    "dashboard": {"dashboard.enabled": True},
    "networkPolicy": {"networkPolicy.enabled": True, "networkPolicy.namespaces": ["ai"]},
}
"""What must be on for the rest of a group to matter."""

OTHER: dict[str, Any] = {
    "image.registry": "other.example",
    "scaler.mode": "metrics-api",
    "operator.image.pullPolicy": "Always",
    "operator.logFormat": "text",
    "operator.resources": {"limits": {"cpu": "1"}},
    "gateway.image.pullPolicy": "Always",
    "gateway.resources": {"limits": {"memory": "4Gi"}},
    "gateway.tolerations": [{"operator": "Exists"}],
    "operator.extraEnv": [{"name": "A", "value": "b"}],
    "operator.affinity": {"nodeAffinity": {}},
    "operator.tolerations": [{"operator": "Exists"}],
    "networkPolicy.metricsFrom": [],
    "networkPolicy.clientsFrom": [],
    "networkPolicy.scrapersFrom": [{"podSelector": {}}],
    "networkPolicy.apiServerPorts": [8443],
    "operator.replicas": 0,
}
"""Other values than the defaults, where no rule gives one."""


def other(path: str, default: Any) -> Any:
    if path in OTHER:
        return OTHER[path]
    match default:
        case bool():
            return not default
        case int():
            return default + 1
        case str():
            return "1h" if path.endswith(".interval") else "other"
        case list():
            return ["other"]
        case dict():
            return {"other": "value"}
    raise AssertionError(path)


def test_helm_finds_nothing_to_complain_about() -> None:
    said = helm("lint", "--strict", str(CHART)).stdout
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said
    assert "[ERROR]" not in said


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    text = render_with(CASES[name]).stdout
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("HEARTH_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path} is missing; write it with HEARTH_UPDATE_GOLDEN=1"
    assert text == path.read_text(), f"{path} differs; if that is meant, rewrite it with HEARTH_UPDATE_GOLDEN=1"


@pytest.mark.parametrize(("path", "default"), list(leaves(values())))
def test_no_value_without_effect(path: str, default: Any) -> None:
    needed = dict(NEEDS.get(path.split(".")[0], {}))
    if path.endswith(".enabled"):
        needed = {key: value for key, value in needed.items() if key != path and not key.endswith(".namespaces")}
    changed = other(path, default)
    assert changed != default
    before = render_with(needed).stdout
    after = render_with({**needed, path: changed}).stdout
    assert after != before, f"{path} changes nothing"


def test_the_service_account_may_do_the_same_whatever_the_scaler() -> None:
    """Both modes are one installation: a service chooses its own."""
    one, other_mode = (
        objects(render_with({"scaler.mode": mode}).stdout)[("ClusterRole", "hearth-operator")]
        for mode in ("push", "metrics-api")
    )
    assert one == other_mode


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"image.registry": ""},
            "image.registry is not set: Hearth's images are in no public registry. Build them and push",
        ),
        (
            {"image.registry": "https://a.example/b"},
            'image.registry "https://a.example/b" is not the name of a registry',
        ),
        ({"image.registry": "hearth"}, 'image.registry "hearth" is not the name of a registry'),
        ({"image.registry": "a.example/b/"}, 'image.registry "a.example/b/" is not the name of a registry'),
        ({"scaler.mode": "pull"}, "at '/scaler/mode': value must be one of 'push', 'metrics-api'"),
        ({"operator.replica": 2}, "at '/operator': additional properties 'replica' not allowed"),
        ({"operators": {}}, "additional properties 'operators' not allowed"),
        ({"gateway.replicas": 0}, "at '/gateway/replicas': minimum: got 0, want 1"),
        ({"gateway.replicas": "2"}, "at '/gateway/replicas': got string, want integer"),
        ({"gateway.resources.limits.memory": "2GB"}, "at '/gateway/resources/limits/memory': '2GB' does not match"),
        ({"operator.leaderElect": "yes"}, "at '/operator/leaderElect': got string, want boolean"),
        (
            {"operator.resources.limits.memory": "512MB"},
            "at '/operator/resources/limits/memory': '512MB' does not match",
        ),
        ({"operator.image.tag": "a b"}, "at '/operator/image/tag': 'a b' does not match"),
        (
            {"networkPolicy.metricsFrom": [{"namespace": "x"}]},
            "at '/networkPolicy/metricsFrom/0': additional properties",
        ),
        ({"operator": None}, "missing property 'operator'"),
        (
            {"operator.replicas": 2},
            "operator.replicas is 2, but only one may work at a time: set operator.leaderElect to true",
        ),
        (
            {"networkPolicy.namespaces": ["ai"]},
            "networkPolicy.namespaces is set, but networkPolicy.enabled is false",
        ),
        (
            {"operator.podLabels": {"app.kubernetes.io/name": "x"}},
            "operator.podLabels must not set app.kubernetes.io/name",
        ),
        ({"operator.extraEnv": [{"name": "POD_NAME"}]}, "operator.extraEnv must not set POD_NAME"),
    ],
)
def test_wrong_values_are_refused_in_words(changes: dict[str, Any], words: str) -> None:
    done = render_with(changes, check=False)
    assert done.returncode != 0
    assert words in done.stderr


def test_an_empty_list_of_peers_lets_nobody_in() -> None:
    """To Kubernetes an empty `from` means every client."""
    made = objects(
        render_with(
            {
                "networkPolicy.enabled": True,
                "networkPolicy.namespaces": ["ai"],
                "networkPolicy.metricsFrom": [],
                "networkPolicy.clientsFrom": [],
            }
        ).stdout
    )
    policies = [item["spec"] for (kind, _), item in made.items() if kind == "NetworkPolicy"]
    assert len(policies) == 3
    assert "ingress" not in made["NetworkPolicy", "hearth-operator"]["spec"]
    for spec in policies:
        assert "Ingress" in spec["policyTypes"]
        assert all(rule["from"] for rule in spec.get("ingress", ()))


def test_rules_and_dashboard_arrive_as_they_are() -> None:
    """Their own braces are not helm's."""
    made = objects(render_with({"prometheusRule.enabled": True, "dashboard.enabled": True}).stdout)
    rules = made["PrometheusRule", "hearth"]["spec"]
    assert rules == yaml.safe_load((CHART / "rules" / "hearth.yaml").read_text())
    text = made["ConfigMap", "hearth-dashboard"]["data"]["hearth.json"]
    assert yaml.safe_load(text) == yaml.safe_load((CHART / "dashboards" / "hearth.json").read_text())


def test_the_crds_are_shown_for_kubectl_to_apply() -> None:
    shown = [item for item in yaml.safe_load_all(helm("show", "crds", str(CHART)).stdout) if item]
    kept = [item for path in (CHART / "crds").iterdir() for item in yaml.safe_load_all(path.read_text()) if item]
    assert sorted(map(str, shown)) == sorted(map(str, kept))
    assert len(shown) == 2


def test_a_packaged_chart_is_the_same(tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path))
    [archive] = tmp_path.glob("hearth-*.tgz")
    packaged = template(f"--set=image.registry={REGISTRY}", chart=archive).stdout
    assert packaged == render()


def test_versions_are_the_distributions() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    [version] = re.findall(r'^version = "(.+)"$', (CHART.parents[1] / "pyproject.toml").read_text(), re.MULTILINE)
    assert chart["version"] == chart["appVersion"] == version
    assert values()["operator"]["image"]["tag"] == values()["gateway"]["image"]["tag"] == ""
