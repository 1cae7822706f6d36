"""Events of a service: what changed between two statuses, each once.

The status says how a service is, its Events how that came about. A message that only words the same reason differently is
no change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hearth.operator.diagnosis.reasons import NORMAL
from hearth.operator.kubernetes.event_recorder import EventDraft, bounded
from hearth.operator.status.conditions import CONDITIONS, ConditionType, Wire, is_normal


def status_events(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[EventDraft, ...]:
    """Return the Events for the change from one status (empty at first) to the next; each reason once."""
    drafts: dict[str, EventDraft] = {}
    for draft in (*_condition_events(old, new), *_runtime_events(old, new)):
        drafts.setdefault(draft.reason, draft)
    return tuple(drafts.values())


def _condition_events(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[EventDraft]:
    was, now = _conditions(old), _conditions(new)
    told = {condition.get("reason") for condition in was.values()} - NORMAL
    for each in CONDITIONS.values():
        condition, before = now.get(each.type), was.get(each.type)
        if condition is None or not _differs(before, condition) or not each.worth_event(before, condition):
            continue
        draft = _draft(each, condition)
        if draft.reason not in told:  # else another condition was the first with this trouble
            yield draft


def _runtime_events(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[EventDraft]:
    runtime, before = new.get("resolvedRuntime"), old.get("resolvedRuntime")
    if runtime and before and runtime != before:
        note = f"the service uses runtime {runtime} instead of {before}"
        yield EventDraft("Normal", "RuntimeChanged", bounded(note))


def _draft(each: ConditionType, condition: Wire) -> EventDraft:
    note = bounded(condition.get("message", ""))
    if each.event:
        return EventDraft("Normal", each.event, note)
    return EventDraft("Normal" if is_normal(condition) else "Warning", condition["reason"], note)


def _conditions(status: Mapping[str, Any]) -> Mapping[str, Wire]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _differs(before: Wire | None, condition: Wire) -> bool:
    return before is None or (before.get("status"), before.get("reason")) != (condition["status"], condition["reason"])
