"""What is known about KEDA, and who is told when it changes."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator.cache import Cache, Key
from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.kinds import LLM_SERVICE, SCALED_OBJECT
from hearth.operator.work_queue import WorkQueue
from tests.operator.harness import manifest
from tests.support.clock import FakeClock

SCALED: dict[str, Any] = {
    "metadata": {
        "name": "m",
        "namespace": "ns",
        "uid": "1",
        "resourceVersion": "1",
        "labels": {"app.kubernetes.io/managed-by": "hearth", "serving.hearth.dev/llmservice": "m"},
    },
    "spec": {},
}


class Known:
    """A service with its ScaledObject, and what is known about KEDA."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(self.clock)
        self.keda = KedaAvailability(self.cache, self.queue, self.clock.time)
        service = manifest()
        service["metadata"] |= {"uid": "2", "resourceVersion": "1"}
        self.cache.see_service({"apiVersion": LLM_SERVICE.api_version, **service})

    def apply(self) -> None:
        self.cache.see_child(SCALED_OBJECT, SCALED)


@pytest.fixture
def known() -> Known:
    return Known()


def test_a_change_queues_every_service_and_no_change_does_not(known: Known) -> None:
    known.keda.update(served=False)
    assert known.queue.depth == 0
    known.keda.update(served=True)
    assert (known.keda.served, known.queue.depth) == (True, 1)


async def test_objects_of_a_kind_that_is_gone_are_dropped(known: Known) -> None:
    known.keda.update(served=True)
    known.apply()
    assert await known.queue.get() == Key("ns", "m")
    known.queue.done(Key("ns", "m"))
    known.keda.update(served=False)
    assert not known.cache.has(SCALED_OBJECT)
    assert known.queue.depth == 1


def test_silence_is_measured_from_the_first_check_that_found_objects(known: Known) -> None:
    known.keda.update(served=True)
    known.clock.advance(30)
    assert known.keda.silence == 0, "there is no object that could change"
    known.apply()
    known.keda.update(served=True)
    known.clock.advance(7)
    known.keda.update(served=True)
    assert (known.keda.silence, known.keda.is_settled) == (7, False)


def test_an_event_ends_the_silence(known: Known) -> None:
    known.apply()
    known.keda.update(served=True)
    known.clock.advance(7)
    known.keda.hear()
    known.keda.update(served=True)
    known.clock.advance(7)
    assert (known.keda.silence, known.keda.is_settled) == (0, True)


def test_an_event_from_before_keda_came_back_does_not_count(known: Known) -> None:
    known.keda.update(served=True)
    known.keda.hear()
    known.keda.update(served=False)
    known.keda.update(served=True)
    known.apply()
    known.keda.update(served=True)
    known.clock.advance(7)
    assert (known.keda.silence, known.keda.is_settled) == (7, False)
