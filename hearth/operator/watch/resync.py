"""The full look: everything is listed, at the start to know where things stand, later to find what watches lost.

After a watch had to start anew (410), kopf tells what survived, and not what was deleted in the gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hearth.operator.cache import Cache, ChildId, Key
from hearth.operator.kubernetes.client import Api
from hearth.operator.kubernetes.errors import NotServed
from hearth.operator.kubernetes.kinds import CHILDREN, INFERENCE_RUNTIME, LLM_SERVICE, POD, SCALED_OBJECT, Kind
from hearth.operator.watch.event_handlers import EventHandlers
from hearth.operator.work_queue import WorkQueue
from hearth.planning import MANAGED_BY_LABEL

logger = logging.getLogger(__name__)

SELECTOR = f"{MANAGED_BY_LABEL}=hearth"
"""What the API server is asked for, so that the objects of others never reach the operator."""

PERIOD = 600.0
"""Seconds between two looks, give or take a tenth."""

APART = 5.0
"""Seconds between objects of one kind that kopf lists, from which on they are of two lists."""


class RelistDetector:
    """Finds out when kopf lists a kind again, which it does after a gap. It marks the objects that it lists, and neither
    the beginning nor the end of a list. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[Kind, float] = {}
        self.found = asyncio.Event()
        """Set when something may be gone although no watch says so; whoever looks clears it."""

    def listed(self, kind: Kind) -> None:
        """kopf tells of an object that it listed."""
        now = self._clock()
        if now - self._last.get(kind, now) > APART:
            self.found.set()
        self._last[kind] = now


class Resync:
    """Lists every kind, and forgets what is in the caches and nowhere else."""

    def __init__(self, api: Api, cache: Cache, handlers: EventHandlers, queue: WorkQueue[Key]) -> None:
        self._api = api
        self._cache = cache
        self._handlers = handlers
        self._queue = queue

    async def run(self, *, keda: bool) -> None:
        """List everything, and put every service into the queue. Raises ApiError."""
        await self._runtimes()
        await self._services()
        for kind in CHILDREN:
            if kind is not SCALED_OBJECT or keda:
                await self._children(kind)
        await self._pods()

    async def _runtimes(self) -> None:
        known = {*self._cache.runtimes, *self._cache.invalid}
        async for item in self._api.list(INFERENCE_RUNTIME):
            known.discard(item["metadata"]["name"])
            self._handlers.handle(INFERENCE_RUNTIME, None, _typed(INFERENCE_RUNTIME, item))
        for name in known:
            self._lost(INFERENCE_RUNTIME, name)
            if self._cache.forget_runtime(name):
                for namespace in self._cache.namespaces:
                    self._queue.add(Key(namespace), urgent=True)

    async def _services(self) -> None:
        known = {key: entry.uid for key, entry in self._cache.services.items()}
        async for item in self._api.list(LLM_SERVICE):
            metadata = item["metadata"]
            key = Key(metadata["namespace"], metadata["name"])
            if known.get(key) == metadata["uid"]:
                del known[key]
            self._handlers.handle(LLM_SERVICE, None, _typed(LLM_SERVICE, item))
        for key, uid in known.items():
            if self._cache.forget_service(key, uid=uid):
                self._lost(LLM_SERVICE, str(key))
                self._queue.add(Key(key.namespace), urgent=True)
                self._queue.add(key)  # its reconcile finds out whether it is really gone

    async def _children(self, kind: Kind) -> None:
        known = {child_id: child.uid for child_id, child in self._cache.children.items() if child_id.kind is kind}
        try:
            async for item in self._api.list(kind, labels=SELECTOR):
                metadata = item["metadata"]
                child_id = ChildId(kind, metadata["namespace"], metadata["name"])
                if known.get(child_id) == metadata["uid"]:
                    del known[child_id]
                self._handlers.handle(kind, None, item)
        except NotServed:
            if kind is not SCALED_OBJECT:
                raise
        for child_id, uid in known.items():
            child = self._cache.forget_child(child_id, uid=uid)
            if child is not None:
                self._lost(kind, f"{child_id.namespace}/{child_id.name}")
                self._handlers.child_changed(child_id, child, "gone")

    async def _pods(self) -> None:
        known = set(self._cache.pods)
        async for item in self._api.list(POD, labels=SELECTOR):
            known.discard((item["metadata"]["namespace"], item["metadata"]["name"]))
            self._handlers.handle(POD, None, item)
        for namespace, name in known:
            self._handlers.pod_gone(namespace, name)

    def _lost(self, kind: Kind, name: str) -> None:
        logger.info("%s %s is gone; no watch said so", kind.kind, name)


def _typed(kind: Kind, item: dict[str, object]) -> dict[str, object]:
    """Lists leave out the type of their items."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item}
