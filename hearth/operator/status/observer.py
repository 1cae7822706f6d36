"""The observer: it gathers what is known of a service, from the caches and, for what is unschedulable, from the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hearth.api import HearthError
from hearth.operator.cache import Cache, Key
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.client import Api
from hearth.operator.kubernetes.errors import ApiError
from hearth.operator.kubernetes.kinds import JOB, NODE
from hearth.operator.objects import Claim, Deployment, Job, Node, ScaledObject, read
from hearth.operator.service_entry import ServiceEntry
from hearth.planning import GATEWAY_LABEL, PREWARM_LABEL, SERVICE_LABEL, SHARED_GATEWAY, gateway_name, prewarm_name

NODES_KEPT = 15.0
"""Seconds for which a list of the nodes is recent enough to explain why a pod waits, and to say where a download may run."""


class Observer:
    """Makes observations. `clock` returns seconds."""

    def __init__(self, api: Api, cache: Cache, keda: KedaAvailability, clock: Callable[[], float]) -> None:
        self._api = api
        self._cache = cache
        self._keda = keda
        self._clock = clock
        self._nodes: tuple[float, Sequence[Node]] | None = None

    async def observe(self, entry: ServiceEntry, error: HearthError | None, warnings: Sequence[str]) -> Observed:
        """Return what is known of a service now; `error` and `warnings` are those of planning and applying it."""
        service = entry.service
        namespace, name = service.metadata.namespace, service.metadata.name
        dedicated = service.spec.endpoint.gateway == "dedicated"
        pods = self._cache.pods_of(namespace, SERVICE_LABEL, name)
        waits = any(pod.is_unschedulable for pod in pods)
        return Observed(
            service=service,
            plan=entry.planned.plan if entry.planned.error is None else None,
            error=error,
            deployment=self._cache.view(Deployment, namespace, name),
            pods=pods,
            prewarm=self._cache.view(Job, namespace, prewarm_name(service)),
            prewarm_pods=self._cache.pods_of(namespace, PREWARM_LABEL, name),
            scaled_object=self._cache.view(ScaledObject, namespace, name),
            keda=self._keda.served,
            gateway=self._cache.view(Deployment, namespace, gateway_name(service)),
            gateway_pods=self._cache.pods_of(namespace, GATEWAY_LABEL, name if dedicated else SHARED_GATEWAY),
            nodes=await self.nodes() if waits or self._no_job_yet(entry) else None,
            now=datetime.now(UTC),
            claims=self.claims(entry),
            holders=self._holders(entry) if waits else {},
            warnings=warnings,
        )

    def claims(self, entry: ServiceEntry) -> tuple[Claim, ...]:
        """Return the volume claims of a service, as far as they are known."""
        key = Key(entry.service.metadata.namespace, entry.service.metadata.name)
        views = (self._cache.children[child_id].view for child_id in self._cache.children_of(key))
        return tuple(view for view in views if isinstance(view, Claim))

    def _no_job_yet(self, entry: ServiceEntry) -> bool:
        """Return whether a prewarm Job is planned and does not exist yet; nodes then say what it waits for."""
        plan = entry.planned.plan
        if plan is None or all(item["kind"] != JOB.kind for item in plan.objects):
            return False
        return self._cache.child(JOB, entry.service.metadata.namespace, prewarm_name(entry.service)) is None

    async def nodes(self) -> Sequence[Node] | None:
        """Return all nodes, of a few seconds ago at most; None when they cannot be listed."""
        now = self._clock()
        if self._nodes is None or now - self._nodes[0] > NODES_KEPT:
            try:
                found = [read(node, Node) async for node in self._api.list(NODE)]
            except ApiError:
                return None
            self._nodes = now, found
        return self._nodes[1]

    def _holders(self, entry: ServiceEntry) -> Mapping[str, int]:
        """Return the devices of the kind that a service requests, by the other services whose pods hold them."""
        plan = entry.planned.plan
        if plan is None:
            return {}
        wanted = _devices((plan.serving.get("resources") or {}).get("limits") or {})
        own = entry.service.metadata
        held: dict[str, int] = {}
        for pod in self._cache.pods.values():
            namespace, name = pod.metadata.namespace, pod.metadata.labels.get(SERVICE_LABEL)
            if name is None or (namespace, name) == (own.namespace, own.name) or not pod.spec.node_name or pod.is_over:
                continue
            count = sum(
                amount for limits in pod.limits for resource, amount in _devices(limits).items() if resource in wanted
            )
            if count:
                held[f"{namespace}/{name}"] = held.get(f"{namespace}/{name}", 0) + count
        return held


def _devices(limits: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the extended resources of a container, by its limits."""
    return {name: int(value) for name, value in limits.items() if "/" in name and str(value).isdigit()}
