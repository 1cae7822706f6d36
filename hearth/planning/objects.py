"""The objects of one service in a cluster, in the order of applying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hearth.planning.cache import cache_claim
from hearth.planning.core_services import backend_service, client_service
from hearth.planning.deployment import backend_deployment
from hearth.planning.gateway.gateway import gateway_of
from hearth.planning.gateway.objects import gateway_objects
from hearth.planning.plan import Draft
from hearth.planning.prewarm import prewarm_job
from hearth.planning.scaledobject import scaled_object

KINDS: Mapping[str, str] = {
    "ServiceAccount": "v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ConfigMap": "v1",
    "PersistentVolumeClaim": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "Job": "batch/v1",
    "ScaledObject": "keda.sh/v1alpha1",
}
"""Every kind that is rendered, with its apiVersion."""

CREATED_ONCE = frozenset({"PersistentVolumeClaim", "Job"})
"""Kinds that are created when they are missing and never updated: Kubernetes allows next to no change of them."""


def service_objects(draft: Draft) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of a service: what others need comes first.

    The ScaledObject is the last: KEDA backs off for longer and longer while no gateway answers for a new one.
    """
    return tuple(_objects(draft))


def _objects(draft: Draft) -> Iterator[Mapping[str, Any]]:
    service, runtime = draft.service, draft.runtime
    gateway = gateway_of(service, runtime)
    claim = cache_claim(service, runtime, draft.model)
    if claim is not None:
        yield claim
    if service.spec.endpoint.gateway == "dedicated":
        yield from gateway_objects(gateway, [draft.gateway], draft.options)
    yield backend_service(service, runtime)
    yield client_service(service, runtime, gateway)
    job = prewarm_job(draft)
    if job is not None:
        yield job
    yield backend_deployment(service, runtime, draft.pod)
    yield scaled_object(service, runtime, draft.scaling, draft.scaler)
