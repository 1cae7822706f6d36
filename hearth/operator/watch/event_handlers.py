"""Handlers of watch events: the cache is brought up to date, and the services that an event concerns are queued."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Any

from hearth.operator.cache import Cache, Change, Child, ChildId, Key
from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.errors import Malformed
from hearth.operator.kubernetes.kinds import INFERENCE_RUNTIME, LLM_SERVICE, POD, SCALED_OBJECT, Kind
from hearth.operator.metrics import Metrics
from hearth.operator.objects import Metadata, Pod, read_metadata
from hearth.operator.work_queue import WorkQueue
from hearth.planning import GATEWAY_LABEL, PREWARM_LABEL, SERVICE_LABEL, SHARED_GATEWAY

logger = logging.getLogger(__name__)

SETTLE = 0.1
"""Seconds in which further changes of the objects of a service are gathered: they come in bursts."""

GATEWAY_SETTLE = 1.0
"""Seconds likewise, for what concerns every service of a namespace."""

Object = Mapping[str, Any]


class EventHandlers:
    """Handlers of every kind. None of them waits or fails: kopf neither retries events nor orders them across objects."""

    def __init__(self, cache: Cache, queue: WorkQueue[Key], keda: KedaAvailability, metrics: Metrics) -> None:
        self._cache = cache
        self._queue = queue
        self._keda = keda
        self._metrics = metrics

    def handle(self, kind: Kind, what: str | None, item: Object) -> None:
        """Handle an event. `what` is ADDED, MODIFIED, DELETED, or None for an object that was listed."""
        self._metrics.event()
        if kind is SCALED_OBJECT:
            self._keda.hear()
        try:
            self._take(kind, item, read_metadata(item), gone=what == "DELETED")
        except Malformed as exc:
            logger.warning("Ignoring a malformed %s: %s", kind.kind, exc)

    def _take(self, kind: Kind, item: Object, metadata: Metadata, *, gone: bool) -> None:
        if kind is LLM_SERVICE:
            self._service(item, metadata, gone=gone)
        elif kind is INFERENCE_RUNTIME:
            self._runtime(item, metadata, gone=gone)
        elif kind is POD:
            self._pod(item, metadata, gone=gone)
        else:
            self._child(kind, item, metadata, gone=gone)

    def queue_all(self, spread: float) -> None:
        """Queue every namespace now, and every service within so many seconds."""
        for namespace in self._cache.namespaces:
            self._queue.add(Key(namespace), urgent=True)
        for key in self._cache.services:
            self._queue.add(key, after=random.uniform(0.0, spread))  # noqa: S311 - to spread load, not to hide anything

    def _service(self, item: Object, metadata: Metadata, *, gone: bool) -> None:
        key = Key(metadata.namespace, metadata.name)
        if gone:
            if self._cache.forget_service(key, uid=metadata.uid):
                self._queue.add(Key(key.namespace), urgent=True)
                self._queue.add(key)  # perhaps there is a new one of the name already
            return
        known = self._cache.services.get(key)
        version = known.version if known is not None else None
        entry, changed = self._cache.see_service(item)
        if changed:
            self._queue.add(Key(key.namespace), urgent=True)
        elif entry.version != version:
            self._queue.add(key, after=SETTLE)

    def _runtime(self, item: Object, metadata: Metadata, *, gone: bool) -> None:
        if self._cache.forget_runtime(metadata.name) if gone else self._cache.see_runtime(item):
            for namespace in self._cache.namespaces:
                self._queue.add(Key(namespace), urgent=True)

    def _child(self, kind: Kind, item: Object, metadata: Metadata, *, gone: bool) -> None:
        child_id = ChildId(kind, metadata.namespace, metadata.name)
        known = self._cache.children.get(child_id)
        was_available = known is not None and known.is_available
        change: Change
        if gone:
            child = self._cache.forget_child(child_id, uid=metadata.uid)
            if child is None:
                return
            change = "gone"
        else:
            change = self._cache.see_child(kind, item)
            child = self._cache.children[child_id]
        if change == "none":
            return
        self.child_changed(child_id, child, change)
        if known is not None and known.service != child.service:
            self.child_changed(child_id, known, change)  # whose it was before somebody changed its label
        if was_available != (not gone and child.is_available):
            self._gateway_came_or_went(child_id, child)

    def child_changed(self, child_id: ChildId, child: Child, change: Change) -> None:
        """Queue the service or the namespace that a child belongs to."""
        after = SETTLE if change in ("status", "content") else 0.0
        if child.service:
            self._queue.add(Key(child_id.namespace, child.service), after=after)
        elif change != "status":
            self._queue.add(Key(child_id.namespace), after=after, urgent=True)

    def _gateway_came_or_went(self, child_id: ChildId, child: Child) -> None:
        """Queue the services of a gateway: their ScaledObjects wait for it, and their status tells when it is down."""
        if child.service or child.gateway != SHARED_GATEWAY:
            return
        for entry in self._cache.services_in(child_id.namespace):
            self._queue.add(Key(child_id.namespace, entry.service.metadata.name))

    def _pod(self, item: Object, metadata: Metadata, *, gone: bool) -> None:
        if gone:
            self.pod_gone(metadata.namespace, metadata.name)
            return
        pod = self._cache.see_pod(item)
        if pod is not None:
            self._pod_changed(pod)

    def pod_gone(self, namespace: str, name: str) -> None:
        """Drop a pod, and queue the service that it belonged to."""
        pod = self._cache.forget_pod(namespace, name)
        if pod is not None:
            self._pod_changed(pod)

    def _pod_changed(self, pod: Pod) -> None:
        namespace, labels = pod.metadata.namespace, pod.metadata.labels
        name = labels.get(SERVICE_LABEL) or labels.get(PREWARM_LABEL)
        if name:
            self._queue.add(Key(namespace, name), after=SETTLE)
            return
        gateway = labels.get(GATEWAY_LABEL)
        if gateway and gateway != SHARED_GATEWAY:
            self._queue.add(Key(namespace, gateway), after=SETTLE)
        elif gateway and not self._cache.is_available(namespace, SHARED_GATEWAY):
            for entry in self._cache.services_in(namespace):
                self._queue.add(Key(namespace, entry.service.metadata.name), after=GATEWAY_SETTLE)
