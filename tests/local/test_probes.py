"""Probes: the thresholds, and the checks against a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.local.probes import Tally, check, count, start_allowance, watch
from hearth.planning import HttpProbe, Launch
from tests.support.waiting import until

PROBE = HttpProbe(
    path="/health",
    port=0,
    headers={"X-Probe": "yes"},
    initial_delay=0.0,
    period=0.01,
    timeout=0.5,
    success_threshold=1,
    failure_threshold=3,
)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_a_verdict_changes_only_after_enough_results_in_a_row(
    results: list[bool], successes: int, failures: int, start: bool
) -> None:
    probe = replace(PROBE, success_threshold=successes, failure_threshold=failures)
    tally = Tally(start)
    for end, ok in enumerate(results, start=1):
        before, tally = tally, count(tally, ok=ok, probe=probe)
        needed = failures if before.healthy else successes
        if tally.healthy != before.healthy:
            assert results[end - needed : end] == [tally.healthy] * needed
        longest = max(successes, failures)
        if end >= longest and set(results[end - longest : end]) == {ok}:
            assert tally.healthy == ok


def test_three_failures_in_a_row() -> None:
    def after(*results: bool) -> bool:
        return reduce(lambda tally, ok: count(tally, ok=ok, probe=PROBE), results, Tally(healthy=True)).healthy

    assert after(False, False)
    assert after(False, False, True, False, False)
    assert not after(False, False, False)
    assert after(False, False, False, True)


class Backend:
    """Answers every request with `status`; None: never. `requests` counts."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        if self.status is None:
            await reader.read()
        else:
            writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@asynccontextmanager
async def serving(backend: Backend) -> AsyncIterator[int]:
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_what_counts_as_success() -> None:
    backend = Backend()
    async with serving(backend) as port:
        probe = replace(PROBE, port=port, timeout=0.1)
        for status, ok in [
            (200, True),
            (204, True),
            (302, True),
            (399, True),
            (400, False),
            (503, False),
            (None, False),
        ]:
            backend.status = status
            assert await check(probe, "127.0.0.1") == ok
    assert backend.heads[0].startswith(b"GET /health HTTP/1.1\r\n")
    assert b"X-Probe: yes\r\n" in backend.heads[0]
    assert not await check(probe, "127.0.0.1"), "nobody listens any more"


async def test_an_answer_that_is_not_http_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    probe = replace(PROBE, port=server.sockets[0].getsockname()[1])
    assert not await check(probe, "127.0.0.1")
    server.close()


def launch(port: int, **changes: HttpProbe | None) -> Launch:
    probe = replace(PROBE, port=port)
    base = Launch(
        argv=("x",),
        env={},
        cwd=None,
        host="127.0.0.1",
        port=port,
        startup=replace(probe, period=0.1, failure_threshold=2),
        readiness=probe,
        liveness=None,
        drain_timeout=0.0,
        grace_period=1.0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


async def test_readiness_comes_and_goes() -> None:
    backend, seen = Backend(), list[bool]()
    async with serving(backend) as port:
        task = asyncio.create_task(watch(launch(port), seen.append))
        await until(lambda: seen == [True])
        backend.status = 503
        await until(lambda: seen == [True, False])
        backend.status = 200
        await until(lambda: seen == [True, False, True])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_liveness_asks_for_a_restart() -> None:
    backend, seen = Backend(), list[bool]()
    async with serving(backend) as port:
        task = asyncio.create_task(watch(launch(port, liveness=replace(PROBE, port=port)), seen.append))
        await until(lambda: seen == [True])
        backend.status = 500
        async with asyncio.timeout(10):
            assert await task == "failed its liveness probe"


async def test_a_start_that_takes_too_long_is_ended() -> None:
    probe = launch(1).startup
    assert start_allowance(probe) == pytest.approx(0.2)
    async with asyncio.timeout(10):
        assert await watch(launch(1), lambda ready: None) == "did not start within 200ms (startup probe)"
