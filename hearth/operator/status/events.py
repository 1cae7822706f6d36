"""Kubernetes Events about a service: what changed, told once.

They are made from the change between two statuses. Nothing changed, nothing is told; a message that only words the same
reason anew is no change. The status says how it is, the Events how it came to be so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hearth.operator.diagnosis.reasons import NORMAL, Reason
from hearth.operator.kubernetes.event_recorder import EventDraft, bounded


def status_events(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[EventDraft, ...]:
    """Return the Events for the change from one status (empty at first) to the next; each reason once."""
    drafts: dict[str, EventDraft] = {}
    for draft in _drafts(old, new):
        drafts.setdefault(draft.reason, draft)
    return tuple(drafts.values())


def _drafts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[EventDraft]:
    was, now = _conditions(old), _conditions(new)
    known = {condition.get("reason") for condition in was.values()} - set(NORMAL)
    for kind in ("RuntimeResolved", "Ready", "Activating", "Scaled", "Prewarmed"):
        condition, before = now.get(kind), was.get(kind)
        if condition is None or not _differs(before, condition) or not _worth(kind, before, condition):
            continue
        if kind == "Activating":
            yield _activating(condition)
        elif condition["reason"] not in known:  # else another condition has told of this trouble
            yield _draft(condition)
    runtime, earlier = new.get("resolvedRuntime"), old.get("resolvedRuntime")
    if runtime and earlier and runtime != earlier:
        yield EventDraft("Normal", "RuntimeChanged", bounded(f"runtime {runtime} in place of {earlier}"))


def _worth(kind: str, before: Mapping[str, Any] | None, condition: Mapping[str, Any]) -> bool:
    """Whether the change says something that no other condition's says."""
    fine = condition["reason"] in set(NORMAL)
    if kind == "Ready":  # the steps of a start are in the status; one Event for a wake and one for its end are enough
        # A gateway that restarts is one thing that happened, and not one for every service of the namespace.
        gateway = (before or {}).get("reason") == Reason.GATEWAY_STARTING
        return not fine or (condition["status"] == "True" and not gateway)
    if kind == "Activating":
        return condition["status"] == "True" and (before or {}).get("status") != "True"
    if kind == "RuntimeResolved":
        return condition["status"] == "False" or (before or {}).get("status") == "False"
    if kind == "Prewarmed":
        return condition["status"] == "True" or not fine
    return not fine or (condition["status"] == "True" and _was_bad(before))


def _was_bad(before: Mapping[str, Any] | None) -> bool:
    return before is not None and before.get("status") == "False" and before.get("reason") not in set(NORMAL)


def _activating(condition: Mapping[str, Any]) -> EventDraft:
    return EventDraft("Normal", "Activating", bounded(condition.get("message", "")))


def _draft(condition: Mapping[str, Any]) -> EventDraft:
    fine = condition["reason"] in set(NORMAL)
    return EventDraft("Normal" if fine else "Warning", condition["reason"], bounded(condition.get("message", "")))


def _conditions(status: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _differs(before: Mapping[str, Any] | None, condition: Mapping[str, Any]) -> bool:
    return before is None or (before.get("status"), before.get("reason")) != (condition["status"], condition["reason"])
