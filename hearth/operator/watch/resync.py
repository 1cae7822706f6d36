"""Resync: everything is listed, at the start to know where things stand, later to find what watches missed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

from hearth.operator.cache import Cache, ChildId, Key
from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.client import Api
from hearth.operator.kubernetes.errors import ApiError, NotServed
from hearth.operator.kubernetes.kinds import CHILDREN, INFERENCE_RUNTIME, LLM_SERVICE, POD, SCALED_OBJECT, Kind
from hearth.operator.watch.event_handlers import EventHandlers
from hearth.operator.watch.keda_discovery import KedaDiscovery
from hearth.operator.work_queue import WorkQueue
from hearth.planning import MANAGED_BY_LABEL

logger = logging.getLogger(__name__)

SELECTOR = f"{MANAGED_BY_LABEL}=hearth"
"""Label selector of every list and watch, so that the objects of others never reach the operator."""

PERIOD = 600.0
"""Seconds between two resyncs, give or take a tenth."""

RETRY = 2.0
"""Seconds until the next attempt after a resync that failed, and before one that a relist gives reason to."""

SPREAD = 60.0
"""Seconds over which the reconciles after a periodic resync are spread."""

APART = 5.0
"""Seconds between listed objects of one kind from which on they belong to two lists."""


class RelistDetector:
    """Detector of kinds that kopf lists again, which it does after a gap in a watch. `clock` gives seconds.

    kopf marks the objects that it listed, and neither the beginning nor the end of a list.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[Kind, float] = {}
        self.found = asyncio.Event()
        """Set when something may be gone although no watch event said so; the resync clears it."""

    def listed(self, kind: Kind) -> None:
        """Take note of an object that kopf listed."""
        now = self._clock()
        if now - self._last.get(kind, now) > APART:
            self.found.set()
        self._last[kind] = now


class Resync:
    """Lists every kind, and drops from the cache what is nowhere else."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        queue: WorkQueue[Key],
        handlers: EventHandlers,
        keda: KedaAvailability,
        discovery: KedaDiscovery,
    ) -> None:
        self._api = api
        self._cache = cache
        self._queue = queue
        self._handlers = handlers
        self._keda = keda
        self._discovery = discovery

    async def run_first(self) -> None:
        """List everything until that succeeds."""
        while True:
            try:
                await self.run()
            except ApiError as exc:
                logger.warning("Failed to list resources: %s; retrying in %.0f s", exc, RETRY)
                await asyncio.sleep(RETRY)
            else:
                return

    async def run_periodically(self, relists: RelistDetector) -> None:
        """List everything from time to time, and soon after kopf relisted a kind."""
        while True:
            relisted = await _set_within(relists.found, PERIOD * random.uniform(0.9, 1.1))  # noqa: S311 - to spread load
            if relisted:
                await asyncio.sleep(RETRY)  # the other kinds are listed again at about the same time
            relists.found.clear()
            try:
                await self.run()
            except ApiError as exc:
                logger.warning("Failed to list resources: %s; retrying in %.0f s", exc, RETRY if relisted else PERIOD)
                if relisted:
                    relists.found.set()
            else:
                if not relisted:
                    self._handlers.queue_all(spread=SPREAD)

    async def run(self) -> None:
        """List everything, and queue what changed. Raises ApiError."""
        await self._discovery.check()
        await self._runtimes()
        await self._services()
        for kind in CHILDREN:
            if kind is not SCALED_OBJECT or self._keda.served:
                await self._children(kind)
        await self._pods()

    async def _runtimes(self) -> None:
        known = {*self._cache.runtimes, *self._cache.invalid}
        async for item in self._api.list(INFERENCE_RUNTIME):
            known.discard(item["metadata"]["name"])
            self._handlers.handle(INFERENCE_RUNTIME, None, _typed(INFERENCE_RUNTIME, item))
        for name in known:
            _log_lost(INFERENCE_RUNTIME, name)
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
                _log_lost(LLM_SERVICE, str(key))
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
                _log_lost(kind, f"{child_id.namespace}/{child_id.name}")
                self._handlers.child_changed(child_id, child, "gone")

    async def _pods(self) -> None:
        known = set(self._cache.pods)
        async for item in self._api.list(POD, labels=SELECTOR):
            known.discard((item["metadata"]["namespace"], item["metadata"]["name"]))
            self._handlers.handle(POD, None, item)
        for namespace, name in known:
            self._handlers.pod_gone(namespace, name)


def _log_lost(kind: Kind, name: str) -> None:
    logger.info("%s %s was deleted but no watch event arrived; dropping it from the cache", kind.kind, name)


def _typed(kind: Kind, item: dict[str, object]) -> dict[str, object]:
    """Return an item of a list with its type, which lists leave out."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item}


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event for so long at most. Return whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
