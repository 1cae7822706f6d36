"""Log of the requests that engines served, from their access logs: every tagged request must be there once.

Pods disappear with their logs when a model falls asleep, so the log of every container is followed from its beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter

import aiohttp

from tests.cluster.kube import ApiError, Kube

LABEL = "serving.hearth.dev/llmservice"
CONTAINER = "serving"
_SERVED = re.compile(r'"POST \S+?[?&]tag=([^\s&]+)\S* HTTP/1\.1" (\d+)')


class RequestLog:
    """Follows the engines of a namespace from the moment it is opened."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self.lines: dict[str, list[str]] = {}
        """The log of every container there was, by `POD#RESTART`."""
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> RequestLog:
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._followers.values(), *([self._watcher] if self._watcher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def served(self) -> Counter[str]:
        """How often each tag was answered with 200."""
        found = (match for lines in self.lines.values() for line in lines if (match := _SERVED.search(line)))
        return Counter(match[1] for match in found if match[2] == "200")

    async def settle(self) -> Counter[str]:
        """Wait until every container has ended and its log was read to the end; return what was served."""
        await asyncio.gather(*self._followers.values())
        return self.served

    async def _watch(self) -> None:
        async with contextlib.aclosing(self._kube.watch("Pod", self._namespace, labels=LABEL)) as events:
            async for change, pod in events:
                if change in ("LISTED", "DELETED"):
                    continue
                for status in pod.get("status", {}).get("containerStatuses", []):
                    state = status.get("state", {})
                    key = f"{pod['metadata']['name']}#{status['restartCount']}"
                    if key not in self._followers and (state.get("running") or state.get("terminated")):
                        self._followers[key] = asyncio.create_task(self._follow(pod["metadata"]["name"], key))

    async def _follow(self, pod: str, key: str) -> None:
        lines = self.lines.setdefault(key, [])
        with contextlib.suppress(ApiError):  # it was deleted before its log could be opened; then its tags are missing
            while True:
                read: list[str] = []
                try:
                    async for line in self._kube.follow(self._namespace, pod, CONTAINER):
                        read.append(line)
                        lines[len(read) - 1 : len(read)] = [line]
                    return
                except (aiohttp.ClientError, ConnectionError, TimeoutError):
                    await asyncio.sleep(0.5)  # the API server went away, or this machine is busy: from the beginning
