"""Kubernetes Events about a service: what changed, told once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class EventDraft:
    """What an Event says; whoever posts it adds the object, the time and the reporter."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


def status_events(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[EventDraft, ...]:
    """Return the Events for the change from one status to the next; none when nothing changed."""
    raise NotImplementedError
