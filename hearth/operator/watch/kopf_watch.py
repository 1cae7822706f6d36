"""kopf's part: watching. Its events go into the handlers, and nothing of kopf is written to any object.

No finalizer, no annotation, no progress: only `on.event` is used, and everything else that kopf can do is turned off.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import kopf

from hearth.api import GROUP
from hearth.operator.kubernetes.connection import Connection
from hearth.operator.kubernetes.kinds import CHILDREN, INFERENCE_RUNTIME, LLM_SERVICE, POD, Kind
from hearth.operator.watch.event_handlers import EventHandlers
from hearth.operator.watch.resync import SELECTOR, RelistDetector

WATCHED = (LLM_SERVICE, INFERENCE_RUNTIME, *CHILDREN, POD)
"""Every kind that is watched. Those that the API server does not know (ScaledObjects without KEDA) are watched from
when it does."""

REQUEST_TIMEOUT = 30.0
"""Seconds."""

RETRY = 2.0
"""Seconds between two tries to list or watch a kind while the API server does not answer, fails or refuses. kopf logs
every one. It would wait up to 21 s, and give up in less than a minute."""

WATCH_TIMEOUT = 600.0
"""Seconds after which a watch is opened anew, whatever it says."""

EXIT_TIMEOUT = 20.0
"""Seconds after which kopf, told to stop, ends the process."""


def build_registry(handlers: EventHandlers, relists: RelistDetector, connection: Connection) -> kopf.OperatorRegistry:
    """Return the handlers, in a registry of their own."""
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
    settings.networking.error_backoffs = itertools.repeat(RETRY)  # for ever
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = EXIT_TIMEOUT
    return settings


class _NoDiffs(kopf.AnnotationsDiffBaseStorage):
    """kopf looks for differences at every event, by deep copies, also where no handler asks for them."""

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
