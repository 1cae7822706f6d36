"""Waits with a deadline, which fail with what did not happen."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Seen = TypeVar("Seen")
What = str | Callable[[], str]
"""What is waited for, in words; a function is called when the wait has failed, and may say what there is instead."""

DEADLINE = 10.0
"""Seconds."""

INTERVAL = 0.005
"""Seconds between two looks, where no event says that something changed."""


async def until(
    condition: Callable[[], Seen | Awaitable[Seen]],
    what: What = "",
    seconds: float = DEADLINE,
    *,
    changed: asyncio.Condition | None = None,
    interval: float = INTERVAL,
) -> Seen:
    """Wait until the condition is true, and return what it returned.

    It is evaluated whenever `changed` is notified; without that, every `interval` seconds. Raises AssertionError.
    """
    end = time.monotonic() + seconds
    while True:
        seen = condition()
        if inspect.isawaitable(seen):
            seen = await seen
        if seen:
            return seen
        left = end - time.monotonic()
        if left <= 0:
            raise AssertionError(_complaint(what or str(condition), seconds))
        await _changed(changed, left) if changed is not None else await asyncio.sleep(min(interval, left))


def wait_until(
    condition: Callable[[], Seen], what: What = "", seconds: float = DEADLINE, *, interval: float = INTERVAL
) -> Seen:
    """Do what `until` does, in tests without an event loop."""
    end = time.monotonic() + seconds
    while not (seen := condition()):
        if time.monotonic() >= end:
            raise AssertionError(_complaint(what or str(condition), seconds))
        time.sleep(interval)
    return seen


async def _changed(condition: asyncio.Condition, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds), condition:
            await condition.wait()
    except TimeoutError:
        pass


def _complaint(what: What, seconds: float) -> str:
    return f"not within {seconds:g} s: {what() if callable(what) else what}"
