"""Kubernetes Events about services: each said once, repeats counted, and never more than a few."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hearth.api import API_VERSION, LLMService
from hearth.operator.kubernetes.client import Api
from hearth.operator.kubernetes.errors import ApiError, NamespaceGoing, NotFound
from hearth.operator.kubernetes.kinds import EVENT

logger = logging.getLogger(__name__)

COMPONENT = "hearth-operator"
REMEMBERED = 4096
"""Events of which repeats are counted."""

KEPT = timedelta(minutes=50)
"""The API server forgets Events after an hour; a repeat after this is a new one."""

LONGEST_NOTE = 1024
"""Characters, and bytes too: the API server counts those, and refuses more."""

BURST = 20
"""Events that a service may have at once; then one every five minutes, as client-go has it."""

REFILL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class EventDraft:
    """What an Event says; whoever posts it adds the object, the time and the reporter."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


@dataclass(slots=True)
class _Posted:
    name: str
    count: int
    at: datetime


class EventRecorder:
    """Posts Events through the core API. A failure is logged and forgotten: Events are a courtesy."""

    def __init__(self, api: Api, instance: str) -> None:
        self._api = api
        self._instance = instance
        self._posted: OrderedDict[tuple[str, str, str], _Posted] = OrderedDict()
        self._tokens: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    async def record(self, service: LLMService, draft: EventDraft, now: datetime) -> None:
        metadata = service.metadata
        uid = metadata.uid or ""
        if not self._allowed(uid, now):
            return
        key = uid, draft.reason, draft.note
        before = self._posted.pop(key, None)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            if before is not None and now - before.at < KEPT:
                operations = (
                    {"op": "replace", "path": "/count", "value": before.count + 1},
                    {"op": "replace", "path": "/lastTimestamp", "value": stamp},
                )
                try:
                    await self._api.patch(EVENT, metadata.namespace, before.name, operations, manager=COMPONENT)
                except NotFound:
                    before = None
                else:
                    self._remember(key, _Posted(before.name, before.count + 1, now))
                    return
            answer = await self._api.create(
                EVENT,
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"generateName": f"{metadata.name}.", "namespace": metadata.namespace},
                    "involvedObject": {
                        "apiVersion": API_VERSION,
                        "kind": "LLMService",
                        "name": metadata.name,
                        "namespace": metadata.namespace,
                        "uid": uid,
                    },
                    "type": draft.type,
                    "reason": draft.reason,
                    "message": draft.note[:LONGEST_NOTE],
                    "firstTimestamp": stamp,
                    "lastTimestamp": stamp,
                    "count": 1,
                    "source": {"component": COMPONENT},
                    "reportingComponent": COMPONENT,
                    "reportingInstance": self._instance,
                },
                manager=COMPONENT,
            )
            self._remember(key, _Posted(answer["metadata"]["name"], 1, now))
        except NamespaceGoing:
            return  # nobody is left to read it
        except ApiError as exc:
            logger.warning("an Event about %s/%s was lost: %s", metadata.namespace, metadata.name, exc.message)

    def _remember(self, key: tuple[str, str, str], posted: _Posted) -> None:
        self._posted[key] = posted
        if len(self._posted) > REMEMBERED:
            self._posted.popitem(last=False)

    def _allowed(self, uid: str, now: datetime) -> bool:
        tokens, since = self._tokens.pop(uid, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - since) / REFILL)
        allowed = tokens >= 1.0
        self._tokens[uid] = (tokens - allowed, now)
        if len(self._tokens) > REMEMBERED:
            self._tokens.popitem(last=False)
        return allowed


def bounded(note: str) -> str:
    """Cut to what an Event may hold, never within a character."""
    if len(note.encode()) <= LONGEST_NOTE:
        return note
    return note.encode()[: LONGEST_NOTE - 3].decode(errors="ignore") + "..."
