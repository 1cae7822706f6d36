"""Names that Hearth needs and that another object has: it stays as it is, and the service names it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.kube import Kube, Object
from tests.cluster.manifests import no_pods
from tests.cluster.namespace import Namespace

MODEL = "model"
GATEWAY = "hearth-gateway"
TEMPLATE = {
    "metadata": {"labels": {"app": "foreign"}},
    "spec": {
        "containers": [{"name": "main", "image": "example.com/never-pulled:1"}],
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    },
}
SPECS: dict[str, dict[str, Any]] = {
    "ConfigMap": {"data": {"mine": "yes"}},
    "Deployment": {
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "foreign"}},
            "template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Always"}},
        }
    },
    "Job": {"spec": {"suspend": True, "template": TEMPLATE}},
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    },
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "foreign"}}}},
    "Role": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    "RoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "nobody"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    },
    "ScaledObject": {
        "spec": {
            "scaleTargetRef": {"name": "nobody"},
            "triggers": [
                {
                    "type": "cron",
                    "metadata": {
                        "timezone": "UTC",
                        "start": "0 0 1 1 *",
                        "end": "1 0 1 1 *",
                        "desiredReplicas": "1",
                    },
                }
            ],
        }
    },
    "Service": {"spec": {"ports": [{"port": 80}], "selector": {"app": "foreign"}}},
    "ServiceAccount": {},
}
VERSIONS = {
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ScaledObject": "keda.sh/v1alpha1",
}
CASES = [
    ("PersistentVolumeClaim", f"{MODEL}-cache"),
    ("Service", MODEL),
    ("Service", f"{MODEL}-backend"),
    ("Job", f"{MODEL}-prewarm"),
    ("Deployment", MODEL),
    ("ScaledObject", MODEL),
    ("ServiceAccount", GATEWAY),
    ("Role", GATEWAY),
    ("RoleBinding", GATEWAY),
    ("ConfigMap", GATEWAY),
    ("Deployment", GATEWAY),
    ("PodDisruptionBudget", GATEWAY),
    ("Service", GATEWAY),
]


def _case(kind: str, name: str) -> Any:
    """Return a parameter of the test; only several gateways have a budget."""
    marks = [pytest.mark.runs(how="paired")] if kind == "PodDisruptionBudget" else []
    return pytest.param(kind, name, id=f"{kind}-{name}", marks=marks)


@pytest.mark.parametrize(("kind", "name"), [_case(*each) for each in CASES])
async def test_a_name_that_is_taken(kube: Kube, namespace: Namespace, kind: str, name: str) -> None:
    if kind != "ScaledObject":  # which is applied once the gateway serves
        await kube.apply(no_pods(namespace.name))
    foreign = await kube.create(
        {
            "apiVersion": VERSIONS.get(kind, "v1"),
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace.name},
            **SPECS[kind],
        }
    )
    cache = {"strategy": "NodeLocalPVC", "size": "1Mi", "prewarm": True}
    await namespace.service(MODEL, cache=cache, ready=False)

    def says_so(service: Object) -> bool:
        return any(
            condition["reason"] == "NameTaken" and f"{kind} '{name}'" in condition["message"]
            for condition in service.get("status", {}).get("conditions", ())
        )

    await kube.until("LLMService", MODEL, namespace.name, says_so, f"a condition that names {kind} {name}")
    after = await kube.get(kind, name, namespace.name)
    assert after["metadata"]["uid"] == foreign["metadata"]["uid"]
    assert after.get("spec") == foreign.get("spec")
    assert after.get("data") == foreign.get("data")
    assert not any(entry["manager"].startswith("hearth-op") for entry in after["metadata"].get("managedFields", ()))
