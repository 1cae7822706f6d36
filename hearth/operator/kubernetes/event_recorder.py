"""Recorder of Kubernetes Events about services: each once, repeats counted, and never more than a few."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hearth.api import API_VERSION, LLMService
from hearth.operator.kubernetes.client import MANAGER, Api
from hearth.operator.kubernetes.errors import ApiError, NamespaceGoing, NotFound
from hearth.operator.kubernetes.kinds import EVENT

logger = logging.getLogger(__name__)

REMEMBERED = 4096
"""Events whose repeats are counted."""

KEPT = timedelta(minutes=50)
"""The API server drops Events after an hour; a repeat after this is a new one."""

LONGEST_NOTE = 1024
"""Characters, and bytes too: the API server counts those, and refuses more."""

BURST = 20
"""Events that a service may have at once; then one every five minutes, as client-go has it."""

REFILL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class EventDraft:
    """Content of an Event. The recorder adds the object, the time and the reporter."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


@dataclass(slots=True)
class _Recorded:
    name: str
    count: int
    at: datetime


class EventRecorder:
    """Writes Events through the core API. A failure is logged and not retried: Events are a courtesy."""

    def __init__(self, api: Api, instance: str) -> None:
        self._api = api
        self._instance = instance
        self._recorded: OrderedDict[tuple[str, str, str], _Recorded] = OrderedDict()
        self._tokens: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    async def record(self, service: LLMService, draft: EventDraft, now: datetime) -> None:
        """Record an Event about a service, or count one more of it."""
        key = service.metadata.uid or "", draft.reason, draft.note
        if not self._allowed(key[0], now):
            return
        before = self._recorded.pop(key, None)
        try:
            if before is None or now - before.at >= KEPT or not await self._count(service, before, now):
                before = _Recorded(await self._create(service, draft, now), 0, now)
            self._remember(key, _Recorded(before.name, before.count + 1, now))
        except NamespaceGoing:
            return
        except ApiError as exc:
            name = f"{service.metadata.namespace}/{service.metadata.name}"
            logger.warning("Failed to record an Event for %s: %s", name, exc.message)

    async def _count(self, service: LLMService, before: _Recorded, now: datetime) -> bool:
        """Count one more of an Event. Return whether it is still there."""
        operations = (
            {"op": "replace", "path": "/count", "value": before.count + 1},
            {"op": "replace", "path": "/lastTimestamp", "value": _rfc3339(now)},
        )
        try:
            await self._api.patch(EVENT, service.metadata.namespace, before.name, operations, manager=MANAGER)
        except NotFound:
            return False
        return True

    async def _create(self, service: LLMService, draft: EventDraft, now: datetime) -> str:
        """Create an Event, and return its name."""
        metadata, stamp = service.metadata, _rfc3339(now)
        answer = await self._api.create(
            EVENT,
            {
                "apiVersion": EVENT.api_version,
                "kind": EVENT.kind,
                "metadata": {"generateName": f"{metadata.name}.", "namespace": metadata.namespace},
                "involvedObject": {
                    "apiVersion": API_VERSION,
                    "kind": "LLMService",
                    "name": metadata.name,
                    "namespace": metadata.namespace,
                    "uid": metadata.uid or "",
                },
                "type": draft.type,
                "reason": draft.reason,
                "message": draft.note[:LONGEST_NOTE],
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "count": 1,
                "source": {"component": MANAGER},
                "reportingComponent": MANAGER,
                "reportingInstance": self._instance,
            },
            manager=MANAGER,
        )
        name: str = answer["metadata"]["name"]
        return name

    def _remember(self, key: tuple[str, str, str], recorded: _Recorded) -> None:
        self._recorded[key] = recorded
        if len(self._recorded) > REMEMBERED:
            self._recorded.popitem(last=False)

    def _allowed(self, uid: str, now: datetime) -> bool:
        tokens, since = self._tokens.pop(uid, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - since) / REFILL)
        allowed = tokens >= 1.0
        self._tokens[uid] = (tokens - allowed, now)
        if len(self._tokens) > REMEMBERED:
            self._tokens.popitem(last=False)
        return allowed


def bounded(note: str) -> str:
    """Return the note, cut to what an Event may hold, never within a character."""
    if len(note.encode()) <= LONGEST_NOTE:
        return note
    return note.encode()[: LONGEST_NOTE - 3].decode(errors="ignore") + "..."


def _rfc3339(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
