"""What a watch event leads to: the cache is brought up to date, and whoever is concerned is put into the queue."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from hearth.operator.cache import Cache, Change, Child, ChildId, Key
from hearth.operator.kubernetes.kinds import DEPLOYMENT, INFERENCE_RUNTIME, LLM_SERVICE, POD, Kind
from hearth.operator.metrics import Metrics
from hearth.operator.reconcile.service import is_available
from hearth.operator.work_queue import WorkQueue
from hearth.planning import GATEWAY_LABEL, PREWARM_LABEL, SERVICE_LABEL, SHARED_GATEWAY

SETTLE = 0.1
"""Seconds in which further changes of what belongs to a service are waited for: they come in bunches."""

GATEWAY_SETTLE = 1.0
"""Seconds in the same sense, for what concerns every service of a namespace."""

Object = Mapping[str, Any]


class EventHandlers:
    """Takes events in. Nothing here waits or fails for long: kopf neither retries nor orders across objects."""

    def __init__(self, cache: Cache, queue: WorkQueue[Key], metrics: Metrics) -> None:
        self._cache = cache
        self._queue = queue
        self._metrics = metrics
        self.heard: set[Kind] = set()
        """The kinds of which an event came: they are watched."""

    def handle(self, kind: Kind, what: str | None, item: Object) -> None:
        """Take an event in. `what` is ADDED, MODIFIED, DELETED, or None for an object that was listed."""
        self._metrics.event()
        self.heard.add(kind)
        gone = what == "DELETED"
        if kind is LLM_SERVICE:
            self._service(item, gone=gone)
        elif kind is INFERENCE_RUNTIME:
            self._runtime(item, gone=gone)
        elif kind is POD:
            self._pod(item, gone=gone)
        else:
            self._child(kind, item, gone=gone)

    def everything(self, spread: float) -> None:
        """Look at all services again within so many seconds."""
        for namespace in self._cache.namespaces:
            self._queue.add(Key(namespace), urgent=True)
        for key in self._cache.services:
            self._queue.add(key, after=random.uniform(0.0, spread))  # noqa: S311 - to spread load, not to hide anything

    def _service(self, item: Object, *, gone: bool) -> None:
        metadata = item["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        if gone:
            if self._cache.forget_service(key, uid=metadata["uid"]):
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

    def _runtime(self, item: Object, *, gone: bool) -> None:
        name = item["metadata"]["name"]
        if self._cache.forget_runtime(name) if gone else self._cache.see_runtime(item):
            for namespace in self._cache.namespaces:
                self._queue.add(Key(namespace), urgent=True)

    def _child(self, kind: Kind, item: Object, *, gone: bool) -> None:
        metadata = item["metadata"]
        child_id = ChildId(kind, metadata["namespace"], metadata["name"])
        known = self._cache.children.get(child_id)
        was_available = kind is DEPLOYMENT and is_available(known)
        change: Change
        if gone:
            child = self._cache.forget_child(child_id, uid=metadata["uid"])
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
        if kind is DEPLOYMENT and was_available != is_available(self._cache.children.get(child_id)):
            self._gateway_came_or_went(child_id, child)

    def child_changed(self, child_id: ChildId, child: Child, change: Change) -> None:
        """Put whom a child belongs to into the queue."""
        after = SETTLE if change in ("status", "content") else 0.0
        if child.service:
            self._queue.add(Key(child_id.namespace, child.service), after=after)
        elif change != "status":
            self._queue.add(Key(child_id.namespace), after=after, urgent=True)

    def _gateway_came_or_went(self, child_id: ChildId, child: Child) -> None:
        """The services of a gateway wait for it with their ScaledObjects, and say in their status when it is down."""
        if child.service or child.gateway != SHARED_GATEWAY:
            return
        for entry in self._cache.services_in(child_id.namespace):
            self._queue.add(Key(child_id.namespace, entry.service.metadata.name))

    def _pod(self, item: Object, *, gone: bool) -> None:
        metadata = item["metadata"]
        namespace = metadata["namespace"]
        if gone:
            self._cache.forget_pod(namespace, metadata["name"])
        elif self._cache.see_pod(item) is None:
            return
        labels = metadata.get("labels") or {}
        name = labels.get(SERVICE_LABEL) or labels.get(PREWARM_LABEL)
        if name:
            self._queue.add(Key(namespace, name), after=SETTLE)
            return
        gateway = labels.get(GATEWAY_LABEL)
        if gateway and gateway != SHARED_GATEWAY:
            self._queue.add(Key(namespace, gateway), after=SETTLE)
        elif gateway and not is_available(self._cache.child(DEPLOYMENT, namespace, SHARED_GATEWAY)):
            for entry in self._cache.services_in(namespace):
                self._queue.add(Key(namespace, entry.service.metadata.name), after=GATEWAY_SETTLE)
