"""Whether a watch started anew, from nothing but the objects that kopf lists."""

from __future__ import annotations

from hearth.operator.kubernetes.kinds import (
    DEPLOYMENT,
    LLM_SERVICE,
    POD,
)
from hearth.operator.watch.resync import APART, RelistDetector
from tests.operator.harness import (
    Harness,
    services_document,
)
from tests.support.clock import FakeClock
from tests.support.fake_api import FakeApi


def test_the_first_list_of_a_kind_is_no_gap() -> None:
    clock = FakeClock()
    relists = RelistDetector(clock.time)
    for kind in (POD, DEPLOYMENT, POD, DEPLOYMENT):
        relists.listed(kind)
        clock.now += APART / 2
    assert not relists.found.is_set()


def test_every_later_one_is() -> None:
    clock = FakeClock()
    relists = RelistDetector(clock.time)
    relists.listed(POD)
    for _ in range(2):
        clock.now += APART + 1
        relists.listed(POD)
        assert relists.found.is_set()
        relists.found.clear()
        relists.listed(POD)
        assert not relists.found.is_set(), "the same list goes on"


async def test_what_watches_lost_is_found_by_the_next_look(api: FakeApi, harness: Harness) -> None:
    harness.service()
    harness.service("n")
    await harness.settle()
    api.remove(DEPLOYMENT, "ns", "n", silently=True)
    api.remove(LLM_SERVICE, "ns", "m", silently=True)
    await harness.settle()
    assert not api.has(DEPLOYMENT, "ns", "n")
    await harness.resync.run()
    await harness.settle()
    assert api.has(DEPLOYMENT, "ns", "n")
    assert "m" not in services_document(api)
