"""Probes of a process on this machine: startup, readiness and liveness, as the kubelet runs them.

As in the kubelet are: what counts as success, the thresholds, the delay and the order (only the startup probe runs
until it has succeeded once; a replica is first unready and alive). Different is the period until a replica has started:
`EAGER`, because a check of the loopback costs nothing and a user waits for the answer. The time that the startup probe
allows (failureThreshold x periodSeconds) is unchanged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hearth.api import format_duration
from hearth.planning import HttpProbe, Launch
from hearth_gateway.http.probe import get_status

EAGER = 0.1
"""Seconds between checks until the first success."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Verdict, and how many results in a row disagree with it. Pure; see `count`."""

    healthy: bool
    against: int = 0


def count(tally: Tally, *, ok: bool, probe: HttpProbe) -> Tally:
    """Add one result. The verdict changes when enough results in a row disagree with it."""
    if ok == tally.healthy:
        return Tally(tally.healthy)
    against = tally.against + 1
    needed = probe.failure_threshold if tally.healthy else probe.success_threshold
    return Tally(ok) if against >= needed else Tally(tally.healthy, against)


def start_allowance(probe: HttpProbe) -> float:
    """Return the seconds that a startup probe allows."""
    return probe.initial_delay + probe.failure_threshold * probe.period


async def check(probe: HttpProbe, host: str) -> bool:
    """Run a probe once. False for every kind of failure, a response after the timeout included."""
    headers = {"Host": f"{host}:{probe.port}", "User-Agent": "hearth-probe", "Accept": "*/*", "Connection": "close"}
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(probe.timeout):
            return 200 <= await get_status(host, probe.port, probe.path, {**headers, **probe.headers}) < 400
    return False


async def watch(launch: Launch, on_ready: Callable[[bool], None]) -> str:
    """Run the probes until the process must be restarted; return why. `on_ready` gets every change of readiness.

    Cancel it when the process exits.
    """
    if not await _started(launch.startup, launch.host):
        return f"did not start within {format_duration(start_allowance(launch.startup))} (startup probe)"
    readiness = asyncio.ensure_future(_watch_readiness(launch.readiness, launch.host, on_ready))
    try:
        if launch.liveness is None:
            await readiness
        else:
            await _watch_liveness(launch.liveness, launch.host)
    finally:
        readiness.cancel()
        await asyncio.gather(readiness, return_exceptions=True)
    return "failed its liveness probe"


async def _started(probe: HttpProbe, host: str) -> bool:
    loop = asyncio.get_running_loop()
    end = loop.time() + start_allowance(probe)
    await asyncio.sleep(probe.initial_delay)
    while not await check(probe, host):
        if loop.time() >= end:
            return False
        await asyncio.sleep(min(EAGER, probe.period))
    return True


async def _watch_readiness(probe: HttpProbe, host: str, on_ready: Callable[[bool], None]) -> None:
    tally = Tally(healthy=False)
    ever = False
    await asyncio.sleep(probe.initial_delay)
    while True:
        before = tally.healthy
        tally = count(tally, ok=await check(probe, host), probe=probe)
        ever = ever or tally.healthy
        if tally.healthy != before:
            on_ready(tally.healthy)
        await asyncio.sleep(probe.period if ever else min(EAGER, probe.period))


async def _watch_liveness(probe: HttpProbe, host: str) -> None:
    tally = Tally(healthy=True)
    await asyncio.sleep(probe.initial_delay)
    while tally.healthy:
        tally = count(tally, ok=await check(probe, host), probe=probe)
        if tally.healthy:
            await asyncio.sleep(probe.period)
