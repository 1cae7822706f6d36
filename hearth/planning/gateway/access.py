"""The access of a gateway to the API server: its ConfigMap, its Namespace, and the addresses of its backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.planning.gateway.gateway import Gateway


def gateway_access(gateway: Gateway) -> tuple[Mapping[str, Any], ...]:
    """Return the ServiceAccount, the Role and the RoleBinding.

    EndpointSlices have generated names, so a Role cannot name those of the services.
    The pull secrets are the account's, not the pods': a service that brings one must not restart the gateway.
    """
    account: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": gateway.metadata(),
        "automountServiceAccountToken": False,  # the gateway's pods ask for theirs
    }
    if gateway.pull_secrets:
        account["imagePullSecrets"] = [{"name": name} for name in gateway.pull_secrets]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": gateway.metadata(),
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": [gateway.name],
                "verbs": ["list", "watch"],  # with a field selector on its name
            },
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            {
                "apiGroups": [""],
                "resources": ["namespaces"],
                "resourceNames": [gateway.base["namespace"]],
                "verbs": ["get"],  # at its end: whether the whole namespace goes
            },
        ],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": gateway.metadata(),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": gateway.name},
        "subjects": [{"kind": "ServiceAccount", "name": gateway.name, "namespace": gateway.base["namespace"]}],
    }
    return account, role, binding
