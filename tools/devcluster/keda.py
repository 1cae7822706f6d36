"""KEDA from the manifests that it ships, with images made of its binaries."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tools.devcluster.api import Api, condition
from tools.devcluster.command import run
from tools.devcluster.errors import ApiError, BuildError, NodeError
from tools.devcluster.images import Image
from tools.devcluster.versions import KEDA

NAMESPACE = "keda"
REGISTRY = "ghcr.io/kedacore"
PROGRAMS = {
    "keda": "keda",
    "keda-metrics-apiserver": "keda-adapter",
    "keda-admission-webhooks": "keda-admission-webhooks",
}
"""Image -> program in it."""

DEPLOYMENTS = ("keda-operator", "keda-metrics-apiserver", "keda-admission")
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scaledobjects.keda.sh"


def images(binaries: dict[str, Path]) -> list[Image]:
    """KEDA's images, under the names of the published ones."""
    return [Image(f"{REGISTRY}/{name}:{KEDA}", binaries[file], f"/{file}") for name, file in PROGRAMS.items()]


def kustomization(base: str) -> dict[str, Any]:
    """Return the changes to the shipped manifests: the tag, the pull policy, and what a test cluster has no time for.

    As shipped, a pod is first asked after 5 to 20 s whether it is ready, a new operator waits 15 s for the lease of one
    that was killed, and 20 requests a second make a thousand ScaledObjects a matter of minutes.
    """
    container = "/spec/template/spec/containers/0"
    pull = {"op": "replace", "path": f"{container}/imagePullPolicy", "value": "IfNotPresent"}
    probe = [
        {"op": "add", "path": f"{container}/readinessProbe/initialDelaySeconds", "value": 0},
        {"op": "add", "path": f"{container}/readinessProbe/periodSeconds", "value": 1},
    ]
    arguments = [
        {"op": "add", "path": f"{container}/args/-", "value": each}
        for each in ("--kube-api-qps=200", "--kube-api-burst=400")
    ]
    lease = [
        {
            "op": "add",
            "path": f"{container}/env/-",
            "value": {"name": f"KEDA_OPERATOR_LEADER_ELECTION_{name}", "value": value},
        }
        for name, value in (("LEASE_DURATION", "8s"), ("RENEW_DEADLINE", "6s"), ("RETRY_PERIOD", "1s"))
    ]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [base],
        "images": [{"name": f"{REGISTRY}/{name}", "newTag": KEDA} for name in PROGRAMS],
        "patches": [
            {"target": {"kind": "Deployment"}, "patch": json.dumps([pull, *probe])},
            {"target": {"kind": "Deployment", "name": "keda-operator"}, "patch": json.dumps([*arguments, *lease])},
        ],
    }


def shipped_manifests(kubectl: Path, module: Path) -> bytes:
    """KEDA's objects as YAML, from the `config/default` of its Go module.

    Raises BuildError when they cannot be rendered.
    """
    base = str(module / "config" / "default")
    return run([str(kubectl), "kustomize", "--load-restrictor", "LoadRestrictionsNone", base], error=BuildError)


def available(api: Api) -> bool:
    """Whether every part of KEDA is available and the API server reaches its metrics.

    Raises ApiError when the API server does not answer.
    """
    try:
        items = [api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}") for name in DEPLOYMENTS]
        items.append(api.get("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"))
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return all(condition(item, "Available") == "True" for item in items)


def installed(api: Api) -> bool:
    """Whether KEDA's CRD is there.

    Raises ApiError when the API server does not answer.
    """
    return not api.missing(CRD)


def apply(kubectl: Path, kubeconfig: Path, manifests: Path) -> None:
    """Apply KEDA's objects. Server-side: one CRD is too long for the annotation that a client-side apply writes.

    Args:
        kubectl: the program.
        kubeconfig: of the cluster.
        manifests: the shipped ones.

    Raises NodeError when kubectl fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, manifests.name).write_bytes(manifests.read_bytes())
        Path(folder, "kustomization.yaml").write_text(json.dumps(kustomization(manifests.name)))
        arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=hearth-devcluster",
            "--kustomize",
            folder,
        ]
        run([str(kubectl), f"--kubeconfig={kubeconfig}", *arguments], error=NodeError)


def remove(kubectl: Path, kubeconfig: Path, manifests: Path) -> None:
    """Remove KEDA: its custom resources first, as long as the operator is there to release them.

    Raises NodeError when kubectl fails.
    """
    base = [str(kubectl), f"--kubeconfig={kubeconfig}"]
    kinds = "scaledobjects.keda.sh,scaledjobs.keda.sh"
    listed = json.loads(run([*base, "get", kinds, "-A", "-o", "json", "--ignore-not-found"], error=NodeError) or b"{}")
    for item in listed.get("items", ()):
        meta = item["metadata"]
        target = [f"{item['kind'].lower()}.keda.sh/{meta['name']}", "-n", meta["namespace"]]
        try:
            run([*base, "delete", *target, "--timeout=15s", "--ignore-not-found"], error=NodeError)
        except NodeError:
            # No operator that takes its finalizer away: it would stay for ever, and its CRD with it.
            patch = '{"metadata":{"finalizers":null}}'
            run([*base, "patch", *target, "--type=merge", "-p", patch], error=NodeError)
    run([*base, "delete", "--ignore-not-found", "--timeout=90s", "-f", str(manifests)], error=NodeError, timeout=180)
