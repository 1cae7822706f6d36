"""The reflector: it lists one kind of object of a namespace, then watches it, and never gives up.

What was read stays in use while the API server is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import aiohttp
import msgspec

from hearth_gateway.cluster.api_client import ApiClient, ApiError, Status
from hearth_gateway.cluster.metadata import Metadata

log = logging.getLogger("hearth.gateway")

PAGE = 500
"""Objects of a list that are requested at once."""

WATCH_SECONDS = 300.0
"""Seconds, more or less, after which the server is asked to end a watch."""

FIRST_DELAY = 0.2
"""Seconds until the second attempt; doubled for each further one."""

MAX_DELAY = 3.0
"""Seconds, at most, between two attempts."""

HEALTHY = 5.0
"""Seconds that a watch must last for the delays to start from the first one again."""


class _ListMeta(msgspec.Struct, frozen=True, rename={"resource_version": "resourceVersion", "more": "continue"}):
    resource_version: str = ""
    more: str = ""


class _List(msgspec.Struct, frozen=True):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Object(msgspec.Struct, frozen=True):
    metadata: Metadata = Metadata()


_LIST = msgspec.json.Decoder(_List)
_EVENT = msgspec.json.Decoder(_Event)
_OBJECT = msgspec.json.Decoder(_Object)
_STATUS = msgspec.json.Decoder(Status)

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """The receiver of the objects."""

    def listed(self, objects: Sequence[T_contra]) -> None:
        """Take over all of them; what is not among them is gone."""

    def changed(self, found: T_contra) -> None:
        """Take over one that was added or changed."""

    def deleted(self, found: T_contra) -> None:
        """Forget one."""


@dataclass(slots=True)
class WatchState:
    """The state of one watch, for `/metrics` and `/readyz`."""

    resource: str
    synced: bool = False  # it was listed once
    connected: bool = False
    fresh_at: float = 0.0  # until when what was read was up to date, while not connected; the event loop's seconds
    last_error: str = ""
    errors: dict[str, int] | None = None

    def count(self, reason: str, message: str) -> None:
        """Count one more failure."""
        self.errors = self.errors or {}
        self.errors[reason] = self.errors.get(reason, 0) + 1
        self.last_error = message


class Reflector(Generic[T]):
    """A loop of list and watch, which keeps a sink up to date with one kind of object, whatever the API server does."""

    def __init__(
        self,
        client: ApiClient,
        *,
        resource: str,
        path: str,
        kind: type[T],
        sink: Sink[T],
        query: Mapping[str, str] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.state = WatchState(resource)
        self._client = client
        self._path = path
        self._query = dict(query or {})
        self._decoder = msgspec.json.Decoder(kind)
        self._sink = sink
        self._jitter = jitter
        self._version: str | None = None  # of the last event; None: list first

    async def run(self) -> None:
        """List and watch until cancelled."""
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while True:
            begun = loop.time()
            wait = await self._attempt()
            if self.state.connected:
                self.state.connected = False
                self.state.fresh_at = loop.time()
            if loop.time() - begun >= HEALTHY:
                delay = FIRST_DELAY
                if wait is None:
                    continue
            # Half to one and a half of the delay, so that replicas do not come back in one instant.
            await asyncio.sleep(max(delay * (0.5 + self._jitter()), wait or 0.0))
            delay = min(MAX_DELAY, delay * 2)

    async def _attempt(self) -> float | None:
        """List if need be, then watch until that ends. Return None when it ended in order, else seconds to wait at least."""
        try:
            if self._version is None:
                self._version = await self._list()
            await self._watch(self._version)
        except ApiError as error:
            if error.status == 410:
                self._version = None  # what comes next is too old to be known: everything is read again
            return self._failed(error.reason, str(error), 1.0 if error.status == 429 else 0.0)
        except TimeoutError as error:
            return self._failed("timeout", str(error) or "no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return self._failed("connection", str(error) or type(error).__name__)
        except msgspec.DecodeError as error:
            self._version = None
            return self._failed("decode", str(error))
        except Exception as error:
            log.exception("Failed to handle a change of %s; listing them again", self.state.resource)
            self._version = None
            return self._failed("internal", repr(error))
        return None

    def _failed(self, reason: str, message: str, wait: float = 0.0) -> float:
        if message != self.state.last_error:
            log.warning("Failed to watch %s: %s; serving from cached state", self.state.resource, message)
        self.state.count(reason, message)
        return wait

    async def _list(self) -> str:
        objects: list[T] = []
        query = {**self._query, "limit": str(PAGE)}
        while True:
            page = _LIST.decode(await self._client.page(self._path, query))
            objects += [found for raw in page.items or () if (found := self._decode(raw)) is not None]
            if not page.metadata.more:
                break
            query["continue"] = page.metadata.more
        self._sink.listed(objects)
        self.state.synced = True
        self.state.fresh_at = asyncio.get_running_loop().time()
        return page.metadata.resource_version

    async def _watch(self, version: str) -> None:
        query = {
            **self._query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(round(WATCH_SECONDS * (0.75 + self._jitter() / 2))),
        }
        async with contextlib.aclosing(self._client.lines(self._path, query)) as lines:
            async for line in lines:
                if line:
                    self._take_event(line)
                self._succeeded()

    def _take_event(self, line: bytes) -> None:
        event = _EVENT.decode(line)
        if event.type == "ERROR":
            status = _STATUS.decode(event.object)
            raise ApiError(status.code, status.message)
        if event.type != "BOOKMARK":
            found = self._decode(event.object)
            if found is not None and event.type == "DELETED":
                self._sink.deleted(found)
            elif found is not None:
                self._sink.changed(found)
        self._version = _OBJECT.decode(event.object).metadata.resource_version or self._version

    def _decode(self, raw: msgspec.Raw) -> T | None:
        """Return one object; None for one that cannot be read, which must not hide the others."""
        try:
            return self._decoder.decode(raw)
        except msgspec.DecodeError as error:
            self.state.count("decode", str(error))
            log.warning("Skipped an unreadable object of %s: %s", self.state.resource, error)
            return None

    def _succeeded(self) -> None:
        self.state.connected = True
        if self.state.last_error:
            log.info("Watching %s again", self.state.resource)
            self.state.last_error = ""
