"""Watches of every kind, by kopf. Events go to the handlers; kopf writes nothing to any object.

Only `on.event` is used, without finalizer, annotation or progress. This package is the only one that knows kopf's habits.
Work-arounds, all of them for kopf 1.45.2:

1. A relist after a gap (410 Gone) reports what survived, and not what was deleted. `RelistDetector` finds out from the times
   of listed objects that a kind was listed again, and `Resync` lists everything and drops what is gone.
2. kopf reads an API group when a CustomResourceDefinition changes, and never again. Where the API server serves
   ScaledObjects later than that, they are never watched; `KedaDiscovery` raises NotWatched, and the process restarts.
3. `spawn_tasks` installs signal handlers of its own: whoever starts the watch installs theirs again (`main._lead`).
4. `run_tasks` cancels every task of the loop that began after it, those of others too: they are stopped first, and those
   that are older are `ignored`.
5. Retries of a failing watch back off up to 21 s and end in less than a minute: `error_backoffs` never ends.
6. Every event is compared with the last one by deep copies, also where no handler asks for it: `_NoDiffs`.
7. kopf logs in from a thread, at the same time as the operator's own first request: `Connection` reads its token again
   until it was read once completely.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import kopf

from hearth.api import GROUP
from hearth.operator.kubernetes.connection import Connection
from hearth.operator.kubernetes.kinds import CHILDREN, INFERENCE_RUNTIME, LLM_SERVICE, POD, Kind
from hearth.operator.watch.event_handlers import EventHandlers
from hearth.operator.watch.resync import SELECTOR, RelistDetector

logger = logging.getLogger(__name__)

WATCHED = (LLM_SERVICE, INFERENCE_RUNTIME, *CHILDREN, POD)
"""Every kind that is watched. One that the API server does not serve (ScaledObjects without KEDA) is watched as soon as it
does."""

REQUEST_TIMEOUT = 30.0
"""Seconds."""

ERROR_BACKOFF = 2.0
"""Seconds between two attempts to list or watch a kind while the API server does not answer, fails or refuses. kopf logs
every one."""

WATCH_TIMEOUT = 600.0
"""Seconds after which a watch is opened again, in any case."""

STOP_TIMEOUT = 10.0
"""Seconds that kopf has to end its watches."""

EXIT_TIMEOUT = 20.0
"""Seconds after which kopf, told to stop, ends the process."""


class KopfWatch:
    """The watches of one process."""

    def __init__(self, handlers: EventHandlers, relists: RelistDetector, connection: Connection) -> None:
        self._registry = build_registry(handlers, relists, connection)
        self._stop = asyncio.Event()

    async def start(self) -> asyncio.Task[None]:
        """Start watching. Return a task that ends when the watches do, or when one of them cannot go on."""
        existing = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry,
            settings=build_settings(),
            clusterwide=True,
            standalone=True,
            stop_flag=self._stop,
        )
        self._task = asyncio.create_task(kopf.run_tasks(tasks, ignored=existing), name="watch")
        return self._task

    async def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        _, pending = await asyncio.wait({self._task}, timeout=STOP_TIMEOUT)
        if pending:
            logger.warning("Watches did not stop within %.0f s", STOP_TIMEOUT)


def build_registry(handlers: EventHandlers, relists: RelistDetector, connection: Connection) -> kopf.OperatorRegistry:
    """Return kopf's handlers, in a registry of their own."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, id="login")
    def login(**_: Any) -> kopf.ConnectionInfo:
        return connection.login()

    for kind in WATCHED:
        watch = kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"watch-{kind.plural}")
        watch(_handler(handlers, relists, kind))
    return registry


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings."""
    settings = kopf.OperatorSettings()
    # Never used; named in case that somebody adds a handler that needs them.
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.posting.enabled = False
    settings.peering.standalone = True
    for kind in (*CHILDREN, POD):
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = SELECTOR
    settings.watching.chunk_size = 500
    settings.watching.client_timeout = WATCH_TIMEOUT
    settings.networking.request_timeout = REQUEST_TIMEOUT
    settings.networking.error_backoffs = itertools.repeat(ERROR_BACKOFF)
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = EXIT_TIMEOUT
    return settings


class _NoDiffs(kopf.AnnotationsDiffBaseStorage):
    """Storage that has nothing to compare an event with."""

    def __init__(self) -> None:
        super().__init__(prefix=GROUP)

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None


def _handler(
    handlers: EventHandlers, relists: RelistDetector, kind: Kind
) -> Callable[..., Coroutine[None, None, None]]:
    async def watch(event: Any, **_: Any) -> None:
        if event["type"] is None:
            relists.listed(kind)
        handlers.handle(kind, event["type"], event["object"])

    return watch
