"""Kinds of objects that the operator reads or writes, and their paths in the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object. `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Group and version, as objects name them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """Path of the group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of an object, or of all objects of a namespace or of the cluster."""
        parts = [self.root]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


LLM_SERVICE = Kind("serving.hearth.dev", "v1alpha1", "llmservices", "LLMService")
INFERENCE_RUNTIME = Kind("serving.hearth.dev", "v1alpha1", "inferenceruntimes", "InferenceRuntime", namespaced=False)

DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
SERVICE = Kind("", "v1", "services", "Service")
CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
JOB = Kind("batch", "v1", "jobs", "Job")
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
ACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount")
ROLE = Kind("rbac.authorization.k8s.io", "v1", "roles", "Role")
BINDING = Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")

POD = Kind("", "v1", "pods", "Pod")
NODE = Kind("", "v1", "nodes", "Node", namespaced=False)
EVENT = Kind("", "v1", "events", "Event")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")

CHILDREN = (DEPLOYMENT, SERVICE, CLAIM, JOB, SCALED_OBJECT, CONFIG_MAP, ACCOUNT, ROLE, BINDING, BUDGET)
"""Kinds that are applied, in no order: the plan has the order."""

_BY_NAME = {(kind.api_version, kind.kind): kind for kind in CHILDREN}


def kind_of(item: Mapping[str, Any]) -> Kind:
    """Return the kind of a planned object."""
    return _BY_NAME[item["apiVersion"], item["kind"]]
