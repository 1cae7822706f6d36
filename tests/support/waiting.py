"""Waits with a deadline, which fail with what did not happen."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

Seen = TypeVar("Seen")
What = str | Callable[[], str]
"""What is waited for, in words; a function is called when the wait has failed, and may say what there is instead."""

DEADLINE = 10.0
"""Seconds."""

INTERVAL = 0.005
"""Seconds between two looks, where no event says that something changed."""


async def until(
    condition: Callable[[], Any],
    what: What = "",
    seconds: float = DEADLINE,
    *,
    changed: asyncio.Condition | None = None,
    interval: float = INTERVAL,
) -> Any:
    """Wait until the condition is true, and return what it returned; it may be a coroutine function.

    It is evaluated whenever `changed` is notified; without that, every `interval` seconds. Raises AssertionError.
    """
    try:
        async with asyncio.timeout(seconds), changed or contextlib.nullcontext():
            while not (seen := await _value(condition())):
                await (changed.wait() if changed is not None else asyncio.sleep(interval))
            return seen
    except TimeoutError:
        raise AssertionError(_complaint(what or str(condition), seconds)) from None


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


async def _value(seen: Any) -> Any:
    return await seen if inspect.isawaitable(seen) else seen


def _complaint(what: What, seconds: float) -> str:
    return f"not within {seconds:g} s: {what() if callable(what) else what}"
