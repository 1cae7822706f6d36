"""KEDA is looked for as long as the process runs, and ScaledObjects that are not watched end it."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from hearth.operator.cache import Cache
from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.errors import ApiError, NotWatched
from hearth.operator.kubernetes.kinds import SCALED_OBJECT
from hearth.operator.watch import keda_discovery
from hearth.operator.watch.keda_discovery import KedaDiscovery
from tests.operator.test_keda_availability import SCALED
from tests.support.waiting import until


class Asked:
    """An API server, and what is known of it."""

    def __init__(self) -> None:
        self.served: bool | Exception = True
        self.asked = 0
        self.cache = Cache()
        queue: Any = SimpleNamespace(add=lambda *_, **__: None)
        self.keda = KedaAvailability(self.cache, queue, asyncio.get_running_loop().time)
        api: Any = self
        self.discovery = KedaDiscovery(api, self.keda)

    async def serves(self, kind: object) -> bool:
        assert kind is SCALED_OBJECT
        self.asked += 1
        if isinstance(self.served, Exception):
            raise self.served
        return self.served

    async def more(self, count: int) -> None:
        goal = self.asked + count
        await until(lambda: self.asked >= goal, "more questions")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PERIOD", 0.001), ("SETTLED_PERIOD", 0.001), ("SILENCE", 0.02)):
        monkeypatch.setattr(keda_discovery, name, value)


async def test_a_kind_that_is_not_watched_ends_the_process() -> None:
    """In this case kopf looked at the API's page before the definition was in it, and looks no more."""
    asked = Asked()
    asked.cache.see_child(SCALED_OBJECT, SCALED)
    with pytest.raises(NotWatched, match="although there are some; restarting"):
        await asyncio.wait_for(asked.discovery.run(), 5)


@pytest.mark.parametrize("reason", ["heard", "none", "absent"])
async def test_silence_is_no_fault(reason: str) -> None:
    asked = Asked()
    if reason != "none":
        asked.cache.see_child(SCALED_OBJECT, SCALED)
    asked.served = reason != "absent"
    running = asyncio.create_task(asked.discovery.run())
    await asked.more(1)
    if reason == "heard":
        asked.keda.hear()
    done, _ = await asyncio.wait({running}, timeout=0.1)
    assert not done
    await cancel(running)


async def test_an_api_server_that_fails_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked()
    asked.served = ApiError(500, "InternalError", "etcd")
    running = asyncio.create_task(asked.discovery.run())
    await asked.more(2)
    assert "Failed to check whether KEDA is installed: etcd" in caplog.text
    asked.served = True
    await until(lambda: asked.keda.served, "KEDA")
    await cancel(running)


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
