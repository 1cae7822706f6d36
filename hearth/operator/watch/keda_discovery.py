"""Discovery of KEDA: the API server is asked again and again whether it serves ScaledObjects.

The page of one API group says so. A watch of all CustomResourceDefinitions would cost megabytes.
"""

from __future__ import annotations

import asyncio
import logging

from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.client import Api
from hearth.operator.kubernetes.errors import ApiError, NotWatched
from hearth.operator.kubernetes.kinds import SCALED_OBJECT

logger = logging.getLogger(__name__)

PERIOD = 5.0
"""Seconds between two checks while KEDA is not installed, or its objects are not watched yet."""

SETTLED_PERIOD = 50.0
"""Seconds between two checks while KEDA is installed and its objects are watched."""

SILENCE = 10.0
"""Seconds of silence about ScaledObjects, although there are some, after which they are taken not to be watched."""


class KedaDiscovery:
    """Keeps `availability` up to date."""

    def __init__(self, api: Api, availability: KedaAvailability) -> None:
        self._api = api
        self._availability = availability

    async def check(self) -> None:
        """Ask once. Raises ApiError."""
        self._availability.update(served=await self._api.serves(SCALED_OBJECT))

    async def run(self) -> None:
        """Ask for ever. Raises NotWatched when kopf does not watch ScaledObjects although they are served."""
        while True:
            await asyncio.sleep(SETTLED_PERIOD if self._availability.is_settled else PERIOD)
            try:
                await self.check()
            except ApiError as exc:
                logger.warning("Failed to check whether KEDA is installed: %s", exc)
                continue
            if self._availability.silence >= SILENCE:
                raise NotWatched(
                    f"no watch events of ScaledObjects for {SILENCE:.0f} s although there are some; restarting to "
                    "establish the watch"
                )
