"""Install, upgrade and uninstall on a real cluster, as README and operations.md say it. Nothing is left behind.

Needs KUBECONFIG, KEDA and the images; runs alone, since there is one release of Hearth in a cluster.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from hearth.operator.kubernetes.kinds import CHILDREN
from tests.chart.support import CHART, REGISTRY, ROOT, alerts, helm, queries, selectors

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

NAMESPACE = "hearth-system"
LOADED = "localhost"
"""The registry of images that the development cluster has without one."""
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
OURS = "app.kubernetes.io/instance=hearth"
OPERATORS = "app.kubernetes.io/managed-by=hearth"
CHART_KINDS = (
    "clusterroles,clusterrolebindings,deployments,services,serviceaccounts,roles,rolebindings,"
    "poddisruptionbudgets,networkpolicies,configmaps,pods,secrets"
)
SERVICE_KINDS = ",".join(f"{kind.plural}.{kind.group}" if kind.group else kind.plural for kind in CHILDREN) + ",pods"


class Cluster:
    """kubectl on the cluster of KUBECONFIG, which helm uses too."""

    def __init__(self, kubectl: str, manifest: Path) -> None:
        self._kubectl = kubectl
        self._manifest = manifest
        self.notes = ""

    def kubectl(self, *argv: str, check: bool = True, stdin: str | None = None) -> str:
        done = subprocess.run(
            [self._kubectl, *argv], capture_output=True, text=True, check=False, input=stdin, timeout=300
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(argv)}\n{done.stderr}"
        return done.stdout

    def get(self, kinds: str, *argv: str) -> list[dict[str, Any]]:
        found = json.loads(self.kubectl("get", kinds, "--output=json", *argv))
        return found.get("items", [found])  # type: ignore[no-any-return]

    def names(self, kinds: str, selector: str) -> list[str]:
        """Everything with a label in the whole cluster."""
        items = self.get(kinds, "--all-namespaces", f"--selector={selector}")
        return sorted(
            f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}" for item in items
        )

    def gone(self, kinds: str, selector: str) -> None:
        """Wait until nothing of the kinds has a label."""
        self.kubectl("wait", "--for=delete", kinds, "--all-namespaces", f"--selector={selector}", "--timeout=120s")

    def type(self, command: str) -> str:
        """Carry out a documented command with the manifest and the chart of this checkout, and images that are loaded."""
        program, *words = shlex.split(command)
        words = [str(self._manifest) if word == self._manifest.name else word for word in words]
        words = [word.replace(f"={REGISTRY}", f"={LOADED}") for word in words]
        said = helm(*words).stdout if program == "helm" else self.kubectl(*words)
        if program == "helm":
            self.notes = said
        return said

    def scrape(self, namespace: str, selector: str, port: int) -> str:
        [pod] = self.get("pods", "-n", namespace, f"--selector={selector}")
        where = f"http://{pod['status']['podIP']}:{port}/metrics"
        with urllib.request.urlopen(where, timeout=10) as response:
            return response.read().decode()  # type: ignore[no-any-return]


def block(text: str, beginning: str) -> list[str]:
    """Return the commands of the shell block that begins so."""
    for found in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if found.startswith(beginning):
            return [shlex.join(shlex.split(line, comments=True)) for line in found.replace("\\\n", " ").splitlines()]
    raise AssertionError(f"no block begins with {beginning}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Install Hearth in a cluster, as README says, in a namespace that enforces `restricted`."""
    assert os.environ.get("KUBECONFIG"), "set KUBECONFIG to the cluster to install in; `make cluster-up` starts one"
    asked = subprocess.run(
        [sys.executable, "-m", "tools.devcluster", "path", "kubectl"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    kubectl = asked.stdout.strip() if asked.returncode == 0 else "kubectl"
    manifest = tmp_path_factory.mktemp("manifest") / "qwen.yaml"
    [text] = re.findall(r"^```yaml\n(# qwen\.yaml\n.*?)^```$", README, re.MULTILINE | re.DOTALL)
    manifest.write_text(text)
    found = Cluster(kubectl, manifest)
    releases = json.loads(helm("list", "--namespace", NAMESPACE, "--output=json").stdout)
    assert not releases, "there is a release of Hearth in this cluster: helm uninstall hearth --namespace hearth-system"
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": NAMESPACE, "labels": restricted}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    found.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    _, install, *_ = block(README, "make push")
    found.type(install)
    try:
        yield found
    finally:
        found.kubectl("delete", "-f", str(manifest), "--ignore-not-found", check=False)
        helm("uninstall", "hearth", "--namespace", NAMESPACE, "--wait", "--ignore-not-found", check=False)


def ready(cluster: Cluster) -> None:
    cluster.kubectl("rollout", "status", "deployment/hearth-operator", "-n", NAMESPACE, "--timeout=120s")


def test_from_an_empty_cluster_to_a_sleeping_model_by_the_readme(cluster: Cluster) -> None:
    assert "NEXT: apply a model" in cluster.notes
    assert "KEDA is not installed in this cluster" not in cluster.notes
    assert "not this chart's" not in cluster.notes
    _, _, *rest = block(README, "make push")
    assert len(rest) == 2
    for command in rest:
        cluster.type(command)
    [service] = cluster.get("llmservices", "-n", "default")
    assert service["status"]["phase"] == "ScaledToZero"
    assert not cluster.get("pods", "-n", "default", "--selector=serving.hearth.dev/llmservice")
    deployment = cluster.get("deployments", "qwen3-8b", "-n", "default")[0]
    assert deployment["spec"]["replicas"] == 0


def test_the_operator_runs_where_restricted_is_enforced(cluster: Cluster) -> None:
    ready(cluster)
    [pod] = cluster.get("pods", "-n", NAMESPACE, f"--selector={OURS}")
    [status] = pod["status"]["containerStatuses"]
    assert status["restartCount"] == 0
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_every_series_of_alerts_and_dashboard_is_told_in_the_cluster(cluster: Cluster) -> None:
    own = cluster.scrape(NAMESPACE, OURS, 8081) + cluster.scrape(
        "default", "serving.hearth.dev/gateway=hearth-gateway", 8080
    )
    exposed = {family.name for family in text_string_to_metric_families(own)}
    asked = {
        selector.name
        for _, expression in queries()
        for selector in selectors(expression)
        if selector.name.startswith(("hearth_", "process_"))
    }
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked} <= exposed
    assert len(alerts()) > 10


def test_users_may_change_services_by_the_clusters_own_roles(cluster: Cluster) -> None:
    edit, view = (cluster.get("clusterroles", name)[0]["rules"] for name in ("edit", "view"))

    def verbs(rules: list[dict[str, Any]], resource: str) -> set[str]:
        return {verb for rule in rules if resource in rule.get("resources", ()) for verb in rule["verbs"]}

    assert verbs(edit, "llmservices") >= {"get", "list", "watch", "create", "update", "patch", "delete"}
    assert verbs(view, "llmservices") == {"get", "list", "watch"}
    assert not verbs(edit, "inferenceruntimes") & {"create", "update", "patch", "delete"}


def test_old_crds_are_noticed_and_the_documented_commands_bring_them_up_to_date(cluster: Cluster) -> None:
    def knows_the_field() -> bool:
        return "scaler" in cluster.kubectl("get", "crd", "llmservices.serving.hearth.dev", "--output=json")

    old = yaml.safe_load((CHART / "crds" / "llmservices.yaml").read_text())
    scaling = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["scaling"]
    del scaling["properties"]["scaler"]
    # As helm writes them: by an update of its own, not by server-side apply.
    cluster.kubectl("replace", "--field-manager=helm", "-f", "-", stdin=json.dumps(old))
    assert not knows_the_field()

    crds, upgrade = block(OPERATIONS, "helm show crds")
    said = cluster.type(upgrade)
    assert "NEXT: the cluster's llmservices.serving.hearth.dev is not this chart's" in said
    assert not knows_the_field(), "helm changes CRDs now: operations.md can be shorter"

    show, apply = (shlex.split(part) for part in re.split(r" '?\|'? ", crds))
    cluster.kubectl(*apply[1:], stdin=helm(*show[1:]).stdout)
    assert knows_the_field()
    assert "not this chart's" not in cluster.type(upgrade)
    ready(cluster)


def test_upgrade_to_two_operators_and_back(cluster: Cluster) -> None:
    """The Lease comes and goes with leaderElect; the model stays as it is."""
    before = cluster.get("deployments", "qwen3-8b", "-n", "default")[0]
    changes = [
        f"image.registry={LOADED}",
        "operator.replicas=2",
        "operator.leaderElect=true",
        "networkPolicy.enabled=true",
    ]
    helm(
        "upgrade", "hearth", str(CHART), "--namespace", NAMESPACE, "--wait", "--timeout=3m",
        *(word for change in changes for word in ("--set", change)),
    )  # fmt: skip
    ready(cluster)
    holder = cluster.get("leases", "hearth-operator", "-n", NAMESPACE)[0]["spec"]["holderIdentity"]
    assert holder in {pod["metadata"]["name"] for pod in cluster.get("pods", "-n", NAMESPACE, f"--selector={OURS}")}
    assert cluster.get("poddisruptionbudgets", "-n", NAMESPACE, f"--selector={OURS}")
    cluster.kubectl("delete", "lease", "hearth-operator", "-n", NAMESPACE)
    cluster.kubectl("wait", "lease", "hearth-operator", "-n", NAMESPACE, "--for=create", "--timeout=60s")
    helm("rollback", "hearth", "--namespace", NAMESPACE, "--wait", "--timeout=3m")
    ready(cluster)
    assert not cluster.get("poddisruptionbudgets", "-n", NAMESPACE, f"--selector={OURS}")
    after = cluster.get("deployments", "qwen3-8b", "-n", "default")[0]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert cluster.get("llmservices", "-n", "default")[0]["status"]["phase"] == "ScaledToZero"


def test_nothing_is_left_but_the_crds(cluster: Cluster) -> None:
    services, gone, uninstall, crds = block(OPERATIONS, "kubectl delete llmservices")
    others = [
        item for item in cluster.get("llmservices", "--all-namespaces") if item["metadata"]["namespace"] != "default"
    ]
    assert not others, "these services are not this test's, and would be deleted"
    cluster.type(services)
    cluster.type(gone)
    deadline = time.monotonic() + 120
    while left := cluster.names(SERVICE_KINDS, OPERATORS):  # the operator and the garbage collector take them away
        assert time.monotonic() < deadline, left
        cluster.gone(SERVICE_KINDS, OPERATORS)
    cluster.type(uninstall)
    cluster.gone(CHART_KINDS, OURS)
    assert cluster.names(CHART_KINDS, OURS) == []
    assert cluster.get("leases", "-n", NAMESPACE) == []
    kept = re.findall(r"[a-z]+\.serving\.hearth\.dev", crds)
    assert {item["metadata"]["name"] for item in cluster.get("crds")} >= set(kept)
