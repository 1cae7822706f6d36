"""The pods of a gateway. They meet the `restricted` Pod Security level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.api import GROUP
from hearth.planning.gateway.gateway import HTTP_PORT, HTTP_PORT_NUMBER, SCALER_PORT, SCALER_PORT_NUMBER, Gateway
from hearth.planning.options import PlanOptions

CONTAINER = "gateway"
USER = 65532
"""The user id of the gateway's image."""

GRACE = 900
"""Seconds in which a gateway that is being stopped finishes its requests: a default activation and a default first byte.

An idle gateway exits after 3 s, in which load balancers stop sending new connections; without a `preStop`, because it exits
at once when its namespace is deleted. The value does not depend on the services: another one would restart the gateway.
"""

ACCOUNT_ANNOTATION = f"{GROUP}/account"
"""On the gateway's pods: the uid of the ServiceAccount that their tokens are of."""

_END_MARGIN = 15


def gateway_deployment(gateway: Gateway, options: PlanOptions) -> tuple[Mapping[str, Any], ...]:
    """Return the Deployment and, for several replicas, the PodDisruptionBudget that keeps all but one of them."""
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": gateway.metadata(),
        "spec": {
            "replicas": options.gateway_replicas,
            "selector": {"matchLabels": dict(gateway.selector)},
            # One always admits requests: a new replica is ready before an old one is stopped.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": dict(gateway.pod_labels)}, "spec": _pod(gateway, options)},
        },
    }
    if options.gateway_replicas == 1:
        return (deployment,)  # a budget for one replica would only stop nodes from being drained
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": gateway.metadata(),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": dict(gateway.selector)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
    return deployment, budget


def with_account(item: Mapping[str, Any], uid: str) -> Mapping[str, Any]:
    """Return a gateway's Deployment whose pods are replaced when their ServiceAccount was.

    A token belongs to one account, not to a name: after the account was deleted and recreated, the API server would refuse
    a gateway until the kubelet renews the token, up to 48 minutes later.
    """
    spec = item["spec"]
    metadata = {**spec["template"]["metadata"], "annotations": {ACCOUNT_ANNOTATION: uid}}
    return {**item, "spec": {**spec, "template": {**spec["template"], "metadata": metadata}}}


def _pod(gateway: Gateway, options: PlanOptions) -> Mapping[str, Any]:
    return {
        "serviceAccountName": gateway.name,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,  # a thousand Services would be thousands of variables
        # The kernel drops signals for which the first process of a PID namespace has no handler. A gateway that gets SIGTERM
        # while Python starts would miss it, and run for its whole grace period.
        "shareProcessNamespace": True,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": GRACE + _END_MARGIN,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(gateway.selector)},
            }
        ],
        "containers": [_container(gateway, options)],
        **options.gateway_pod.spec(),
    }


def _container(gateway: Gateway, options: PlanOptions) -> Mapping[str, Any]:
    # In either scaler mode: the replicas query each other at the scaler's port, and no mode restarts the gateway.
    ports = [
        {"name": HTTP_PORT, "containerPort": HTTP_PORT_NUMBER, "protocol": "TCP"},
        {"name": SCALER_PORT, "containerPort": SCALER_PORT_NUMBER, "protocol": "TCP"},
    ]
    args = [
        f"--config-map={gateway.name}",
        f"--peers={gateway.replicas_service}",
        f"--listen=:{HTTP_PORT_NUMBER}",  # every address, IPv6 too
        f"--scaler-listen=:{SCALER_PORT_NUMBER}",
        f"--grace={GRACE}",
    ]
    return {
        "name": CONTAINER,
        "image": options.gateway_image,
        "args": args,
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "ports": ports,
        **options.gateway_pod.container(),
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": HTTP_PORT},
            "periodSeconds": 2,
            "failureThreshold": 2,
        },
        # A restart loses every held request, so it takes a minute without an answer.
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": HTTP_PORT},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
