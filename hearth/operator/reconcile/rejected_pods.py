"""Rejected pods: replicas that a node refused are deleted, because nothing else deletes them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from hearth.operator.cache import Cache
from hearth.operator.diagnosis.rejection import superseded
from hearth.operator.diagnosis.replicas import desired_replicas
from hearth.operator.kubernetes.client import Api
from hearth.operator.kubernetes.errors import ApiError
from hearth.operator.kubernetes.event_recorder import EventDraft, EventRecorder
from hearth.operator.kubernetes.kinds import DEPLOYMENT, POD
from hearth.operator.metrics import Metrics
from hearth.operator.objects import Deployment, Pod
from hearth.operator.service_entry import ServiceEntry
from hearth.planning import SERVICE_LABEL

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 20
"""Pods that one reconcile deletes; every deletion is followed by another reconcile."""


class RejectedPods:
    """Deletes the rejected pods of services, and records an Event for each."""

    def __init__(self, api: Api, cache: Cache, recorder: EventRecorder, metrics: Metrics) -> None:
        self._api = api
        self._cache = cache
        self._recorder = recorder
        self._metrics = metrics

    async def delete(self, entry: ServiceEntry) -> None:
        """Delete the rejected pods of a service that explain nothing any more. A failure is logged: nothing waits for it."""
        metadata = entry.service.metadata
        child = self._cache.child(DEPLOYMENT, metadata.namespace, metadata.name)
        if child is None or child.owner != entry.uid or not isinstance(child.view, Deployment):
            return
        pods = [
            pod
            for pod in self._cache.pods_of(metadata.namespace, SERVICE_LABEL, metadata.name)
            if pod.deployment == metadata.name
        ]
        for pod in superseded(pods, desired_replicas(child.view))[:MOST_AT_ONCE]:
            try:
                await self._delete(entry, pod)
            except ApiError as exc:
                logger.warning(
                    "Failed to delete the rejected Pod %s/%s: %s", metadata.namespace, pod.metadata.name, exc
                )
                return

    async def _delete(self, entry: ServiceEntry, pod: Pod) -> None:
        namespace, name, node = pod.metadata.namespace, pod.metadata.name, pod.spec.node_name or "a node"
        logger.info("Deleting Pod %s/%s, which %s rejected: %s", namespace, name, node, pod.status.reason)
        await self._api.delete(POD, namespace, name, uid=pod.metadata.uid)
        self._metrics.applied(POD.kind, "delete")
        note = f"Deleted a pod of the engine that {node} rejected: {pod.status.reason}"
        await self._recorder.record(entry.service, EventDraft("Normal", "RejectedPodDeleted", note), datetime.now(UTC))
