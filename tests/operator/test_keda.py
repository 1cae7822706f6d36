"""Whether KEDA is there, and whether its objects are watched."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from hearth.operator import main
from hearth.operator.cache import Cache
from hearth.operator.kubernetes.errors import NotWatched
from hearth.operator.kubernetes.kinds import SCALED_OBJECT
from hearth.operator.metrics import Metrics
from hearth.operator.watch.event_handlers import EventHandlers

OBJECT = {
    "metadata": {
        "name": "m",
        "namespace": "ns",
        "uid": "1",
        "resourceVersion": "1",
        "labels": {"app.kubernetes.io/managed-by": "hearth", "serving.hearth.dev/llmservice": "m"},
    },
    "spec": {},
}


class Looks:
    """What one process has, as far as looking for KEDA needs it."""

    def __init__(self) -> None:
        self.served = True
        self.looks = 0
        self.cache, self.metrics = Cache(), Metrics()
        queue: Any = SimpleNamespace(add=lambda *_, **__: None)
        self.handlers = EventHandlers(self.cache, queue, self.metrics)
        self.api = self.reconciler = self

    async def serves(self, kind: object) -> bool:
        assert kind is SCALED_OBJECT
        self.looks += 1
        return self.served

    def keda_is(self, *, served: bool) -> None:
        self.metrics.keda = int(served)

    def made(self) -> None:
        """The operator made one; nothing of it came by a watch."""
        self.handlers.handle(SCALED_OBJECT, "ADDED", OBJECT)
        self.handlers.heard.clear()

    async def more(self, count: int) -> None:
        goal = self.looks + count
        while self.looks < goal:
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "KEDA_PERIOD", 0.001)
    monkeypatch.setattr(main, "SILENCE", 0.02)


async def test_a_kind_that_is_not_watched_is_noticed() -> None:
    """kopf looked at the API's page before the definition was in it, and looks no more."""
    looks: Any = Looks()
    looks.made()
    with pytest.raises(NotWatched, match="starting anew"):
        await asyncio.wait_for(main._look_for_keda(looks), 5)


@pytest.mark.parametrize("reason", ["heard", "none", "absent"])
async def test_silence_is_no_fault(reason: str) -> None:
    looks: Any = Looks()
    if reason != "none":
        looks.made()
    looks.served = reason != "absent"
    looking = asyncio.create_task(main._look_for_keda(looks))
    await looks.more(2)
    if reason == "heard":
        looks.handlers.handle(SCALED_OBJECT, "MODIFIED", OBJECT)
    done, _ = await asyncio.wait({looking}, timeout=0.1)
    assert not done
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking


async def test_what_was_heard_before_keda_went_does_not_count() -> None:
    looks: Any = Looks()
    looks.made()
    looks.handlers.handle(SCALED_OBJECT, "MODIFIED", OBJECT)
    looks.metrics.keda = 1
    looking = asyncio.create_task(main._look_for_keda(looks))
    await looks.more(2)
    looks.served = False
    await looks.more(2)
    looks.served = True
    with pytest.raises(NotWatched):
        await asyncio.wait_for(looking, 5)
