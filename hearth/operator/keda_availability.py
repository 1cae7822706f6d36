"""Availability of KEDA: whether the API server serves ScaledObjects, and whether they are watched."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hearth.operator.cache import Cache, Key
from hearth.operator.kubernetes.kinds import SCALED_OBJECT
from hearth.operator.work_queue import WorkQueue

logger = logging.getLogger(__name__)


class KedaAvailability:
    """Owner of all that is known about KEDA. `clock` gives seconds."""

    def __init__(self, cache: Cache, queue: WorkQueue[Key], clock: Callable[[], float]) -> None:
        self._cache = cache
        self._queue = queue
        self._clock = clock
        self._heard = False
        self._silent_since: float | None = None
        self.served = False
        """Whether the API server served ScaledObjects when it was last asked."""

    def hear(self) -> None:
        """Take note of an event of a ScaledObject."""
        self._heard = True

    def update(self, *, served: bool) -> None:
        """Take note of whether ScaledObjects are served. A change queues every service."""
        if not self.served:
            self._heard = False  # an event from before KEDA came says nothing about the watch of now
        if served != self.served:
            self.served = served
            self._changed()
        missing = served and not self._heard and self._cache.has(SCALED_OBJECT)
        if not missing:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = self._clock()

    @property
    def is_settled(self) -> bool:
        """Whether ScaledObjects are served and their events arrive."""
        return self.served and self._heard

    @property
    def silence(self) -> float:
        """Seconds for which there have been ScaledObjects and no event of any."""
        return 0.0 if self._silent_since is None else self._clock() - self._silent_since

    def _changed(self) -> None:
        logger.info("KEDA is %s", "installed" if self.served else "not installed: models are not scaled until it is")
        if not self.served:
            for child_id in [child_id for child_id in self._cache.children if child_id.kind is SCALED_OBJECT]:
                self._cache.forget_child(child_id)
        for key in self._cache.services:
            self._queue.add(key)
