"""Two replicas and one Lease."""

from __future__ import annotations

import asyncio

import pytest

from hearth.operator.kubernetes import leader_election
from hearth.operator.kubernetes.kinds import LEASE
from hearth.operator.kubernetes.leader_election import LeaderElection
from tests.support.fake_api import FakeApi


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader_election, "PERIOD", 0.01)
    monkeypatch.setattr(leader_election, "DEADLINE", 0.1)
    monkeypatch.setattr(leader_election, "DURATION", 1.0)


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.served.add(LEASE)
    return api


def holder(api: FakeApi) -> str:
    name: str = api.wire(LEASE, "ns", leader_election.NAME)["spec"]["holderIdentity"]
    return name


async def test_the_first_one_has_it(api: FakeApi) -> None:
    await LeaderElection(api, "ns", "a").acquire()
    assert holder(api) == "a"


async def test_who_stops_cleanly_lets_the_next_one_begin_at_once(api: FakeApi) -> None:
    first, second = LeaderElection(api, "ns", "a"), LeaderElection(api, "ns", "b")
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await first.release()
    await asyncio.wait_for(waiting, 0.5)
    assert holder(api) == "b"


async def test_who_dies_is_followed_when_the_lease_has_expired(api: FakeApi) -> None:
    await LeaderElection(api, "ns", "a").acquire()
    await asyncio.wait_for(LeaderElection(api, "ns", "b").acquire(), 5)
    assert holder(api) == "b"
    assert api.wire(LEASE, "ns", leader_election.NAME)["spec"]["leaseTransitions"] == 1


async def test_a_lease_that_was_taken_is_noticed(api: FakeApi) -> None:
    first = LeaderElection(api, "ns", "a")
    await first.acquire()
    keeping = asyncio.create_task(first.keep())
    await asyncio.sleep(0.03)
    assert not keeping.done()
    api.put(
        LEASE,
        {
            "apiVersion": LEASE.api_version,
            "kind": "Lease",
            "metadata": {"name": leader_election.NAME, "namespace": "ns"},
            "spec": {"holderIdentity": "b"},
        },
    )
    await asyncio.wait_for(keeping, 5)


async def test_a_lease_that_cannot_be_renewed_is_lost(api: FakeApi) -> None:
    lease = LeaderElection(api, "ns", "a")
    await lease.acquire()
    api.refuse["replace", "Lease"] = 503, {"message": "down"}
    await asyncio.wait_for(lease.keep(), 5)


async def test_the_lease_of_another_one_is_not_given_back(api: FakeApi) -> None:
    await LeaderElection(api, "ns", "a").acquire()
    await LeaderElection(api, "ns", "b").release()
    assert holder(api) == "a"


async def test_who_never_had_it_has_nothing_to_give_back(api: FakeApi, caplog: pytest.LogCaptureFixture) -> None:
    await LeaderElection(api, "ns", "a").release()
    assert caplog.text == ""
