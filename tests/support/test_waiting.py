"""Waits end with what they waited for, or say what did not happen."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.waiting import until, wait_until


async def test_until_returns_what_the_condition_returned() -> None:
    answers = iter([0, "", [1]])
    assert await until(lambda: next(answers)) == [1]


async def test_until_awaits_a_coroutine_function() -> None:
    answers = iter([False, True])

    async def condition() -> bool:
        return next(answers)

    assert await until(condition)


async def test_until_looks_again_at_every_notification_only() -> None:
    changed, looked = asyncio.Condition(), 0

    def condition() -> bool:
        nonlocal looked
        looked += 1
        return looked == 2

    waiting = asyncio.create_task(until(condition, changed=changed))
    await asyncio.sleep(0.05)
    assert looked == 1
    async with changed:
        changed.notify_all()
    await waiting


@pytest.mark.parametrize("changed", [None, asyncio.Condition()])
async def test_until_says_what_did_not_happen(changed: asyncio.Condition | None) -> None:
    with pytest.raises(AssertionError, match=r"^not within 0.01 s: two pods; there are 1$"):
        await until(lambda: False, lambda: f"two pods; there are {1}", 0.01, changed=changed)


def test_wait_until_says_what_did_not_happen() -> None:
    with pytest.raises(AssertionError, match=r"^not within 0.01 s: two pods$"):
        wait_until(lambda: False, "two pods", 0.01)
