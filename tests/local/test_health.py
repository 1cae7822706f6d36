"""Phase, restarts and probes: the pure rules, and the checks against a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.local.phase import ReplicaState, phase_of
from hearth.local.probes import Tally, check, count, start_allowance, watch
from hearth.local.restarts import CRASH_LOOP, LONGEST_DELAY, STABLE, Failures, after_exit, after_start_error
from hearth.planning import HttpProbe, Launch

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


# --- phase ----------------------------------------------------------------------------------------------------------


STARTING = "starting for 0 s, its probe is not answered yet; `hearth logs` shows what the engine says"


def sight(name: str = "0", **changes: object) -> ReplicaState:
    base = ReplicaState(name, ready=False, leaving=False, running=True, crash_loop=False)
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "replicas", "reasons", "expected"),
    [
        (0, [], {}, ("ScaledToZero", "")),
        (0, [sight(leaving=True, ready=True)], {}, ("ScaledToZero", "1 replica is stopping")),
        (1, [], {}, ("Pending", "starting")),
        (1, [], {"waiting": "needs 1"}, ("Pending", "needs 1")),
        (1, [], {"impossible": "needs 9"}, ("Degraded", "needs 9")),
        (1, [sight()], {}, ("Loading", STARTING)),
        (1, [sight(running_for=41.7)], {}, ("Loading", STARTING.replace("0 s", "42 s"))),
        (1, [sight(cause="exited with code 1")], {}, ("Loading", "exited with code 1")),
        (1, [sight(ready=True)], {}, ("Ready", "")),
        (2, [sight(ready=True)], {"waiting": "needs 1"}, ("Ready", "needs 1")),
        (
            1,
            [sight(crash_loop=True, cause="boom", retry_in=3.2)],
            {},
            ("Degraded", "replica 0: boom; next start in 3 s"),
        ),
        (2, [sight(ready=True), sight("1", crash_loop=True, cause="boom")], {}, ("Ready", "replica 1: boom")),
        (1, [sight(leaving=True, ready=True), sight("1")], {}, ("Loading", STARTING)),
    ],
)
def test_phase_and_reason(
    wanted: int, replicas: list[ReplicaState], reasons: dict[str, str], expected: tuple[str, str]
) -> None:
    assert phase_of(wanted, replicas, **reasons) == expected


# --- restarts -------------------------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.floats(0, 200), st.none()), max_size=40))
def test_delays_grow_to_a_bound_and_a_stable_time_forgives(history: list[float | None]) -> None:
    failures = Failures()
    for ready_for in history:
        before = failures
        failures = after_start_error(failures) if ready_for is None else after_exit(failures, ready_for)
        assert 0 <= failures.delay <= LONGEST_DELAY
        if ready_for is not None and ready_for >= STABLE:
            assert failures == Failures(1)
        else:
            assert failures.delay >= before.delay


def test_the_first_restart_is_immediate_and_then_they_double() -> None:
    delays = [Failures(number).delay for number in range(1, 12)]
    assert delays == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert after_start_error(Failures()).count == CRASH_LOOP, "a command that cannot run is a loop at once"


# --- probes ---------------------------------------------------------------------------------------------------------


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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


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
            assert await task == "stopped answering (liveness probe)"


async def test_a_start_that_takes_too_long_is_ended() -> None:
    probe = launch(1).startup
    assert start_allowance(probe) == pytest.approx(0.2)
    async with asyncio.timeout(10):
        assert await watch(launch(1), lambda ready: None) == "did not start within 0.2 s (startup probe)"
