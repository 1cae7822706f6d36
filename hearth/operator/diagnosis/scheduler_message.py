"""The scheduler's message: why it finds no node for a pod, in the condition PodScheduled."""

from __future__ import annotations

import re

_INSUFFICIENT = re.compile(r"(?:(\d+) )?Insufficient ([A-Za-z0-9][A-Za-z0-9./_-]*[A-Za-z0-9])")
_PREEMPTION = re.compile(r"[.,;]?\s*(?:no new claims to deallocate|preemption:)", re.IGNORECASE)


def scheduler_words(message: str) -> str:
    """Return the message without what the scheduler tried afterwards."""
    return _PREEMPTION.split(message, maxsplit=1)[0].strip().rstrip(".")


def insufficient(message: str) -> dict[str, int]:
    """Return the resources of which nodes have too little free, and how many nodes that are.

    Nodes without the resource count as well. Nodes that may not take the pod for another reason (a taint, a label) do
    not: the scheduler names the first thing that keeps a pod from a node.
    """
    return {resource: int(count or 1) for count, resource in _INSUFFICIENT.findall(scheduler_words(message))}
