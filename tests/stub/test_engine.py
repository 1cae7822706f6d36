"""The engine by itself: seats, order, what each way to end does to the counts."""

from __future__ import annotations

import asyncio

import pytest

from vllm_stub.engine import Engine, EngineAsleepError, EngineDeadError, QueueFullError
from vllm_stub.metrics import Metrics
from vllm_stub.options import Options
from vllm_stub.work import Work


def make(**changes: object) -> Engine:
    options = Options(**{"token_delay": 0.0, "max_num_seqs": 2, **changes})  # type: ignore[arg-type]
    return Engine(options, Metrics("tiny", 512))


def ended(engine: Engine, reason: str) -> float:
    labels = {"engine": "0", "model_name": "tiny", "finished_reason": reason}
    return engine.metrics.registry.get_sample_value("vllm:request_success_total", labels) or 0.0


async def outcomes(engine: Engine, work: Work) -> list[str | None]:
    return [outcome async for outcome in engine.run(work)]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_stop_comes_after_the_last_token_and_length_with_it() -> None:
    engine = make()
    assert await outcomes(engine, Work(3, 2, "stop")) == [None, None, "stop"]
    assert await outcomes(engine, Work(3, 2, "length")) == [None, "length"]
    assert await outcomes(engine, Work(3, 0, "stop")) == ["stop"]
    assert (ended(engine, "stop"), ended(engine, "length")) == (2, 1)


async def test_seats_are_given_in_order_of_arrival() -> None:
    engine = make(token_delay=60.0)
    works = [Work(1, 2, "stop", width=width) for width in (1, 1, 2, 1)]
    tasks = [asyncio.create_task(outcomes(engine, work)) for work in works]
    await settle()
    assert (engine.running, engine.waiting) == (2, 3)
    tasks[0].cancel()
    await settle()
    # the third needs both seats, and the fourth does not overtake it
    assert (engine.running, engine.waiting) == (1, 3)
    tasks[1].cancel()
    await settle()
    assert (engine.running, engine.waiting, works[2].seated) == (2, 1, True)
    for task in tasks[2:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (engine.running, engine.waiting, engine.in_flight) == (0, 0, 0)
    assert engine.idle.is_set()
    assert ended(engine, "abort") == 5


async def test_wider_than_all_seats_runs_alone() -> None:
    engine = make()
    assert (await outcomes(engine, Work(1, 1, "stop", width=9)))[-1] == "stop"


async def test_prefill_delays_the_first_token_only() -> None:
    engine = make(prefill_delay=0.05)
    work = Work(1, 3, "stop")
    await outcomes(engine, work)
    assert work.first - work.scheduled >= 0.05
    assert work.last - work.first < 0.05


async def test_death_ends_running_and_waiting_works() -> None:
    engine = make(token_delay=60.0, max_num_seqs=1)
    tasks = [asyncio.create_task(outcomes(engine, Work(1, 2, "stop"))) for _ in range(2)]
    await settle()
    engine.die()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [EngineDeadError, EngineDeadError]
    assert ended(engine, "error") == 2
    with pytest.raises(EngineDeadError):
        engine.admit(1)
    with pytest.raises(EngineDeadError):
        await outcomes(engine, Work(1, 1, "stop"))


async def test_draining_rejects_by_abort() -> None:
    engine = make()
    engine.draining = True
    assert await outcomes(engine, Work(1, 1, "stop")) == ["abort"]


async def test_the_queue_may_be_bounded() -> None:
    engine = make(max_queued=2)
    engine.admit(2)
    with pytest.raises(QueueFullError, match="max_num_queued_reqs=2"):
        engine.admit(3)
    labels = {"model_name": "tiny", "reason": "max_num_queued_reqs"}
    assert engine.metrics.registry.get_sample_value("vllm:admission_rejections_total", labels) == 1


@pytest.mark.parametrize(("mode", "outcome"), [("abort", "abort"), ("keep", "stop"), ("wait", "stop")])
async def test_sleep_modes(mode: str, outcome: str) -> None:
    engine = make(token_delay=0.01)
    task = asyncio.create_task(outcomes(engine, Work(1, 3, "stop")))
    await settle()
    await engine.sleep(1, mode)
    assert task.done() or mode != "wait"
    with pytest.raises(EngineAsleepError):
        engine.admit(1)
    assert (await task)[-1] == outcome
    assert engine.wake_up(["weights"]) is False
    assert engine.wake_up(["kv_cache"]) is True
    engine.admit(1)


async def test_a_timed_hang_shifts_the_tokens_behind_it() -> None:
    engine = make()
    work = Work(1, 3, "stop")
    async for _ in engine.run(work):
        if work.produced == 1:
            before = work.last
            await engine.hang(work, 0.03)
    assert work.last - before >= 0.03


async def test_cache_usage_follows_the_running_works() -> None:
    engine = make(max_model_len=100)
    outputs = engine.run(Work(49, 5, "stop"))
    await anext(outputs)
    assert engine.cache_usage == 50 / 200
    await outputs.aclose()
    assert engine.cache_usage == 0
