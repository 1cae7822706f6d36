"""Signals that stop: the first and the second one, and the default behaviour afterwards."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from hearth.local.signals import STOPPING, StopSignals


@pytest.mark.parametrize("number", STOPPING)
async def test_a_first_and_a_second_signal_are_two_events(number: signal.Signals) -> None:
    signals = StopSignals()
    with signals.handled():
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await signals.first.wait()
        assert not signals.second.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await signals.second.wait()


async def test_signals_are_handled_in_the_context_only() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with StopSignals().handled():
        assert signal.getsignal(signal.SIGHUP) != before
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
