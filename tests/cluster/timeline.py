"""Timeline of a scenario: what happened when, in seconds since its beginning."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from tests.cluster.kube import Kube, Object
from tests.support.waiting import until


class Timeline:
    """Lines with a time; `show` prints them as they come."""

    def __init__(self, *, show: bool = False) -> None:
        self.begin = time.monotonic()
        self.lines: list[str] = []
        self._show = show

    def now(self) -> float:
        return time.monotonic() - self.begin

    def say(self, text: str) -> None:
        line = f"{self.now():7.2f} s  {text}"
        self.lines.append(line)
        if self._show:
            print(line, flush=True)


class Recorder:
    """Every value that a part of an object had, by a watch."""

    def __init__(self, kube: Kube, kind: str, name: str, namespace: str, read: Callable[[Object], Any]) -> None:
        self._watch = (kube, kind, name, namespace)
        self._read = read
        self.seen: list[tuple[float, Any]] = []
        """(time.monotonic(), value); None: the object is not there."""
        self._changed = asyncio.Condition()
        self._begun = False
        self._task: asyncio.Task[None] | None = None
        self.listeners: list[Callable[[Any, Any], None]] = []
        """Called with (value before, value) at every change."""

    @property
    def values(self) -> list[Any]:
        return [value for _, value in self.seen]

    def steps(self, part: int = 0) -> list[Any]:
        """Return the values of one part, without those that are as the one before."""
        found = [value[part] for value in self.values]
        return [value for number, value in enumerate(found) if number == 0 or value != found[number - 1]]

    @property
    def last(self) -> Any:
        return self.seen[-1][1] if self.seen else None

    async def __aenter__(self) -> Recorder:
        self._task = asyncio.create_task(self._run())
        async with self._changed:
            await self._changed.wait_for(lambda: self._begun)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        kube, kind, name, namespace = self._watch
        async with contextlib.aclosing(kube.watch(kind, namespace, name)) as events:
            async for change, found in events:
                if change == "LISTED":
                    async with self._changed:
                        self._begun = True
                        self._changed.notify_all()
                    continue
                value = None if change == "DELETED" else self._read(found)
                before = self.last
                if not self.seen or value != before:
                    async with self._changed:
                        self.seen.append((time.monotonic(), value))
                        self._changed.notify_all()
                    for listener in self.listeners:
                        listener(before, value)

    async def until(self, wanted: Callable[[Any], Any], seconds: float, what: str) -> Any:
        """Wait until the value is as wanted; return it."""
        await until(
            lambda: bool(self.seen) and wanted(self.last),
            lambda: f"{what}; it was {self.values}",
            seconds,
            changed=self._changed,
        )
        return self.last


def replicas(kube: Kube, name: str, namespace: str) -> Recorder:
    """Record the (wanted, ready) replicas of a Deployment."""

    def read(found: Object) -> tuple[int, int]:
        return found["spec"].get("replicas", 1), found.get("status", {}).get("readyReplicas", 0)

    return Recorder(kube, "Deployment", name, namespace, read)
