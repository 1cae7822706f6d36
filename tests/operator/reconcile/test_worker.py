"""A worker, which no key can stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hearth.operator.cache import Key
from hearth.operator.kubernetes.errors import OperatorError
from hearth.operator.metrics import Metrics
from hearth.operator.reconcile.reconciler import Reconciler
from hearth.operator.reconcile.worker import work
from hearth.operator.work_queue import WorkQueue
from tests.support.waiting import until


class Reconciles:
    """Both reconcilers; `fails` says how a key does."""

    def __init__(self) -> None:
        self.seen: list[Key] = []
        self.fails: Callable[[Key], Exception | None] = lambda _: None
        self.early = False

    async def reconcile(self, key: Key) -> bool:
        self.seen.append(key)
        failure = self.fails(key)
        if failure is not None:
            raise failure
        return not self.early


async def run(reconciles: Reconciles, *keys: Key) -> tuple[WorkQueue[Key], Metrics]:
    queue: WorkQueue[Key] = WorkQueue(asyncio.get_running_loop(), first_backoff=0.01)
    metrics = Metrics()
    both: Any = reconciles
    for key in keys:
        queue.add(key)
    worker = asyncio.create_task(work(queue, Reconciler(both, both), metrics))
    await until(lambda: {*reconciles.seen} >= {*keys} and not queue.running, "all keys")
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    queue.close()
    return queue, metrics


async def test_namespaces_and_services_are_reconciled() -> None:
    reconciles = Reconciles()
    queue, metrics = await run(reconciles, Key("ns"), Key("ns", "m"))
    assert reconciles.seen == [Key("ns"), Key("ns", "m")]
    assert queue.failing == 0
    assert 'hearth_operator_reconciles_total{result="success"} 2.0' in metrics.render().decode()


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (OperatorError("Conflict", "changed"), "Failed to reconcile ns/m: changed; retrying in 0.0 s"),
        (KeyError("bug"), "Failed to reconcile ns/m; retrying in"),
    ],
)
async def test_a_key_that_fails_is_retried_and_stops_no_other(
    failure: Exception, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    reconciles = Reconciles()
    reconciles.fails = lambda key: failure if key == Key("ns", "m") and len(reconciles.seen) < 3 else None
    queue, _ = await run(reconciles, Key("ns", "m"), Key("ns", "n"))
    assert Key("ns", "n") in reconciles.seen
    assert queue.failures(Key("ns", "m")) <= 1
    assert words in caplog.text


async def test_too_early_says_nothing_about_a_key() -> None:
    reconciles = Reconciles()
    reconciles.early = True
    queue, _ = await run(reconciles, Key("ns"))
    assert queue.failing == 0
