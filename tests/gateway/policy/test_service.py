"""The policy of one service, case by case. The laws for any sequence of events are in test_service_laws.py."""

from __future__ import annotations

import pytest

from hearth_gateway.policy.failure import Failure
from hearth_gateway.policy.service import (
    FIRST_ESTIMATE,
    IDLE_NOTICE,
    LEASE_GRACE,
    RAMP_FIRST,
    RAMP_INTERVAL,
    WAIT_BUCKETS,
)
from tests.gateway.policy.support import Bench, make_config, make_endpoint
from tests.support.clock import START

# ---------------------------------------------------------------- cold


def test_first_request_starts_an_activation_and_waits() -> None:
    bench = Bench()
    request = bench.admit(size=70)
    assert request.state == "held"
    assert bench.edges == [(START, 1, True)]
    assert bench.cold == [START]
    assert request.notices == ["m is starting, 0 s so far"]
    stats = bench.service.stats()
    assert (stats.held, stats.held_bytes, stats.in_flight, stats.usable) == (1, 70, 0, 0)
    assert (stats.activating, stats.activation_seconds, stats.last_request) == (True, 0.0, START)


def test_readiness_releases_and_the_lease_ends_after_its_grace() -> None:
    bench = Bench()
    request = bench.admit()
    bench.clock.advance(20)
    bench.ready(9001)
    assert request.state == "sent"
    assert (request.admitted, request.released) == (START, START + 20)
    assert bench.service.counters.activations == {"started": 1, "ready": 1}
    assert bench.edges[1:] == [(START + 20, 1, False)]
    bench.done(request)
    bench.clock.advance(LEASE_GRACE - 0.001)
    assert bench.service.demand() == 1
    bench.clock.advance(0.001)
    assert bench.service.demand() == 0
    assert bench.edges[2:] == [(START + 20 + LEASE_GRACE, 0, False)]
    assert not bench.clock.pending


def test_request_waits_its_activation_timeout_and_no_longer() -> None:
    bench = Bench(timeout=60)
    first = bench.admit()
    bench.clock.advance(59)
    second = bench.admit()
    bench.service.notice = "needs 2 accelerators, 1 is free"
    bench.clock.advance(0.999)
    assert first.state == "held"
    bench.clock.advance(0.001)
    assert (first.state, second.state) == ("refused", "held")
    assert first.failure is not None
    assert (first.failure.status, first.failure.reason) == (503, "activation_timeout")
    assert "needs 2 accelerators, 1 is free" in first.failure.message
    bench.clock.advance(59)
    assert second.state == "refused"
    assert bench.service.counters.activations == {"started": 1, "given_up": 1}
    assert bench.service.counters.rejections == {"activation_timeout": 2}
    assert bench.edges[1:] == [(START + 119, 0, False)]
    assert not bench.clock.pending


def test_heartbeats_come_at_their_interval_to_everybody_who_waits() -> None:
    bench = Bench(heartbeat=10)
    first = bench.admit()
    bench.clock.advance(9)
    second = bench.admit()
    bench.clock.advance(21.5)
    assert ["0 s" in first.notices[0], "10 s" in first.notices[1], "20 s" in first.notices[2]] == [True] * 3
    assert (len(first.notices), len(second.notices)) == (4, 4)
    bench.service.notice = "pulling the image"
    bench.clock.advance(10)
    assert "(pulling the image)" in first.notices[-1]
    bench.ready(9001)
    bench.clock.advance(60)
    assert (len(first.notices), len(second.notices)) == (5, 5)


def test_a_shorter_heartbeat_interval_counts_at_once() -> None:
    bench = Bench(heartbeat=100)
    request = bench.admit()
    bench.clock.advance(1)
    bench.service.reconfigure(make_config(heartbeat=2))
    bench.clock.advance(2)
    assert len(request.notices) == 2


def test_a_shorter_activation_timeout_counts_at_once() -> None:
    bench = Bench(heartbeat=100, timeout=300)
    request = bench.admit()
    bench.clock.advance(20)
    bench.service.reconfigure(make_config(heartbeat=100, timeout=20))
    bench.clock.advance(0)
    assert request.state == "refused"


def test_estimate_learns_from_the_starts_it_saw() -> None:
    bench = Bench()
    bench.admit()
    assert bench.service.estimate(bench.now) == FIRST_ESTIMATE
    bench.clock.advance(8)
    bench.ready(9001)
    bench.service.set_endpoints([])
    bench.clock.advance(100)
    request = bench.admit()
    assert "about 8 s left" in request.notices[0]
    bench.clock.advance(100)
    assert bench.service.estimate(bench.now) == 1.0


# ---------------------------------------------------------------- who leaves


def test_lease_outlives_the_last_client_by_its_grace_only() -> None:
    bench = Bench(timeout=300)
    first, second = bench.admit(), bench.admit()
    bench.clock.advance(5)
    bench.abandon(first)
    bench.clock.advance(20)
    assert bench.service.demand() == 1
    bench.abandon(second)
    bench.clock.advance(LEASE_GRACE - 0.001)
    assert bench.service.demand() == 1
    assert bench.service.is_waiting()
    bench.clock.advance(0.001)
    assert bench.service.demand() == 0
    assert not bench.service.is_waiting()
    assert bench.service.counters.activations == {"started": 1, "given_up": 1}
    assert bench.edges[1:] == [(START + 25 + LEASE_GRACE, 0, False)]


def test_a_client_that_left_and_comes_back_in_time_waits_as_anew() -> None:
    bench = Bench(timeout=60)
    bench.abandon(bench.admit())
    bench.clock.advance(LEASE_GRACE - 1)
    request = bench.admit()
    bench.clock.advance(59)
    assert request.state == "held"
    assert bench.service.counters.activations == {"started": 1}


def test_a_client_that_leaves_does_not_cut_short_what_a_wake_asked_for() -> None:
    bench = Bench(timeout=300)
    bench.service.wake()
    bench.abandon(bench.admit())
    bench.clock.advance(299)
    assert bench.service.demand() == 1
    bench.clock.advance(1)
    assert bench.service.demand() == 0


def test_a_client_that_leaves_does_not_cut_short_what_a_refused_one_was_promised() -> None:
    bench = Bench(timeout=300)
    waiting = bench.admit()
    bench.service.reconfigure(make_config(mode="reject", timeout=300))
    assert bench.admit().state == "refused"
    bench.abandon(waiting)
    bench.clock.advance(299)
    assert bench.service.demand() == 1


def test_abandoning_what_is_not_held_does_nothing() -> None:
    bench = Bench()
    bench.ready(9001)
    request = bench.admit()
    bench.service.abandon(request)
    assert bench.service.in_flight == 1


# ---------------------------------------------------------------- refusals


def test_reject_mode_refuses_and_keeps_the_demand_for_the_activation_timeout() -> None:
    bench = Bench(mode="reject", timeout=60)
    request = bench.admit()
    assert request.failure is not None
    assert (request.failure.status, request.failure.reason, request.failure.retry_after) == (503, "cold_start", 30)
    bench.clock.advance(10)
    again = bench.admit()
    assert again.failure is not None
    assert again.failure.retry_after == 20
    assert bench.edges == [(START, 1, True)]
    bench.clock.advance(59.999)
    assert bench.service.demand() == 1
    bench.clock.advance(0.001)
    assert bench.service.demand() == 0
    assert bench.edges[1:] == [(START + 70, 0, False)]


def test_retry_after_is_bounded_however_long_a_start_takes() -> None:
    bench = Bench(mode="reject", timeout=3000)
    bench.admit()
    bench.clock.advance(1000)
    bench.ready(9001)
    bench.service.set_endpoints([])
    request = bench.admit()
    assert request.failure is not None
    assert request.failure.retry_after == 55


@pytest.mark.parametrize("limits", [{"maxHeld": 2}, {"maxHeldBytes": 20}])
def test_a_full_queue_refuses_and_has_room_again(limits: dict[str, int]) -> None:
    bench = Bench(**limits)
    first, _ = bench.admit(), bench.admit()
    refused = bench.admit()
    assert refused.failure is not None
    assert (refused.failure.status, refused.failure.reason) == (429, "queue_full")
    assert "2 requests of 20 bytes are waiting for it" in refused.failure.message
    assert bench.service.counters.rejections == {"queue_full": 1}
    bench.abandon(first)
    assert bench.admit().state == "held"


def test_a_request_that_can_never_be_held_wakes_all_the_same() -> None:
    bench = Bench(maxHeldBytes=20, timeout=60)
    assert bench.admit(size=21).state == "refused"
    assert bench.edges == [(START, 1, True)]
    bench.clock.advance(59)
    assert bench.service.demand() == 1


def test_a_busy_backend_refuses_what_exceeds_max_in_flight() -> None:
    bench = Bench(maxInFlight=2)
    bench.ready(9001)
    first = bench.admit()
    bench.admit()
    refused = bench.admit()
    assert refused.failure is not None
    assert (refused.failure.status, refused.failure.reason, refused.failure.retry_after) == (
        429,
        "too_many_requests",
        1,
    )
    bench.done(first)
    assert bench.admit().state == "sent"


# ---------------------------------------------------------------- release


def test_release_is_a_ramp_oldest_first() -> None:
    bench = Bench()
    requests = [bench.admit() for _ in range(100)]
    bench.ready(9001)
    counts = []
    for _ in range(4):
        sent = [request for request in requests if request.state == "sent"]
        assert sent == requests[: len(sent)]
        counts.append(len(sent))
        bench.clock.advance(RAMP_INTERVAL)
    assert counts == [RAMP_FIRST, 3 * RAMP_FIRST, 100, 100]
    assert bench.service.counters.wait_count == 100


def test_release_stops_when_the_backend_is_gone_and_begins_anew() -> None:
    bench = Bench()
    requests = [bench.admit() for _ in range(40)]
    bench.ready(9001)
    bench.service.set_endpoints([])
    bench.clock.advance(1)
    assert [request.state for request in requests] == ["sent"] * 16 + ["held"] * 24
    assert bench.service.counters.activations["started"] == 2
    bench.ready(9001)
    assert [request.state for request in requests] == ["sent"] * 32 + ["held"] * 8


def test_nobody_overtakes_those_who_wait_for_the_ramp() -> None:
    bench = Bench()
    requests = [bench.admit() for _ in range(RAMP_FIRST + 1)]
    bench.ready(9001)
    late = bench.admit()
    assert (requests[-1].state, late.state) == ("held", "held")
    bench.clock.advance(RAMP_INTERVAL)
    assert (requests[-1].state, late.state) == ("sent", "sent")


def test_released_requests_are_spread() -> None:
    bench = Bench()
    for _ in range(10):
        bench.admit()
    bench.ready(9001, 9002)
    assert [backend.in_flight for backend in bench.service.usable] == [5, 5]


def test_release_keeps_to_max_in_flight() -> None:
    bench = Bench(maxInFlight=3)
    requests = [bench.admit() for _ in range(8)]
    bench.ready(9001)
    late = bench.admit()
    assert late.state == "held"  # behind those who wait, although a backend is there
    bench.clock.advance(1)
    for done in range(6):
        assert [request.state for request in requests[done : done + 3]] == ["sent"] * 3
        assert bench.service.in_flight == 3
        bench.done(requests[done])
        bench.clock.advance(1)
    assert late.state == "sent"


def test_a_larger_max_in_flight_releases_at_once() -> None:
    bench = Bench(maxInFlight=1)
    requests = [bench.admit() for _ in range(3)]
    bench.ready(9001)
    bench.clock.advance(1)
    bench.service.reconfigure(make_config(maxInFlight=10))
    assert [request.state for request in requests] == ["sent"] * 3


def test_requests_go_where_the_fewest_are() -> None:
    bench = Bench()
    bench.ready(9001, 9002)
    requests = [bench.admit() for _ in range(4)]
    assert sorted(b.in_flight for b in bench.service.usable) == [2, 2]
    first = requests[0].backend
    for request in requests:
        if request.backend is first:
            bench.done(request)
    assert bench.admit().backend is first


def test_waits_are_counted_in_their_bucket() -> None:
    bench = Bench()
    bench.admit()
    bench.clock.advance(7)
    bench.ready(9001)
    counters = bench.service.counters
    assert [bound for bound, n in zip(WAIT_BUCKETS, counters.wait_buckets, strict=True) if n] == [10.0]
    assert (counters.wait_count, counters.wait_sum) == (1, 7.0)


# ---------------------------------------------------------------- replay


def test_a_replay_goes_to_another_replica() -> None:
    bench = Bench()
    bench.ready(9001, 9002)
    request = bench.admit()
    first = request.backend
    assert first is not None
    bench.service.mark_suspect(first)
    bench.retry(request)
    assert request.state == "sent"
    assert request.backend is not first
    assert (first.in_flight, bench.service.in_flight, bench.service.counters.replays) == (0, 1, 1)


def test_a_replay_without_a_replica_waits_beyond_the_limits_and_in_reject_mode() -> None:
    bench = Bench(maxHeld=0, mode="reject")
    bench.ready(9001)
    request = bench.admit()
    bench.service.set_endpoints([])
    bench.retry(request)
    assert request.state == "held"
    assert bench.service.activation_started is not None
    bench.ready(9002)
    assert request.state == "sent"


def test_a_replay_keeps_the_deadline_and_the_place_of_its_first_hold() -> None:
    bench = Bench(timeout=60)
    request = bench.admit()
    bench.clock.advance(10)
    bench.ready(9001)
    bench.service.set_endpoints([])
    later = bench.admit()
    bench.retry(request)
    assert list(bench.service.held) == [request, later]
    bench.clock.advance(50)
    assert (request.state, later.state) == ("refused", "held")


def test_replays_wait_in_the_order_in_which_they_waited_first() -> None:
    bench = Bench()
    requests = []
    for _ in range(3):
        requests.append(bench.admit())
        bench.clock.advance(1)
    bench.ready(9001)
    bench.service.set_endpoints([])
    for index in (1, 0, 2):
        bench.retry(requests[index])
    assert list(bench.service.held) == requests


def test_a_replay_does_not_prolong_the_wait_of_others() -> None:
    bench = Bench(timeout=60, heartbeat=1000)
    bench.ready(9001)
    running = bench.admit()
    bench.service.set_endpoints([])
    waiting = bench.admit()
    bench.clock.advance(50)
    bench.retry(running)
    bench.clock.advance(10)
    assert (waiting.state, running.state) == ("refused", "held")
    bench.clock.advance(50)
    assert running.state == "refused"


# ---------------------------------------------------------------- edges


def test_edges_are_told_on_the_first_request_and_a_notice_after_the_last() -> None:
    bench = Bench()
    bench.ready(9001)
    request = bench.admit()
    assert bench.edges == [(START, 1, False)]
    bench.clock.advance(50)
    bench.done(request)
    bench.clock.advance(IDLE_NOTICE - 0.001)
    assert len(bench.edges) == 1
    bench.clock.advance(0.001)
    assert bench.edges[1:] == [(START + 50 + IDLE_NOTICE, 0, False)]
    assert not bench.clock.pending


@pytest.mark.parametrize("gap", [0.01, 0.3, 0.999])
@pytest.mark.parametrize("seconds", [0.001, 0.3, 0.999, 1.0, 1.5])
def test_sequential_requests_are_no_edges(seconds: float, gap: float) -> None:
    bench = Bench()
    bench.ready(9001)
    for _ in range(50):
        request = bench.admit()
        bench.clock.advance(seconds)
        bench.done(request)
        assert len(bench.clock.pending) <= 1
        bench.clock.advance(gap)
    assert len(bench.edges) == 1


def test_an_activation_that_is_given_up_tells_of_the_demand_that_went_with_it() -> None:
    bench = Bench(timeout=5)
    bench.ready(9001)
    running = bench.admit()
    bench.service.set_endpoints([])
    bench.admit()
    bench.clock.advance(4.5)
    bench.done(running)
    bench.clock.advance(0.5)
    assert bench.edges[2:] == [(START + 5, 0, False)]
    bench.ready(9001)
    bench.admit()
    assert bench.edges[3:] == [(START + 5, 1, False)]


def test_a_subscriber_may_act_at_once() -> None:
    bench = Bench()
    bench.service._on_edge = lambda _: bench.ready(9001)
    request = bench.admit()
    assert request.state == "sent"
    assert bench.service.held_bytes == 0


def test_a_subscriber_may_take_the_backend_away_at_once() -> None:
    bench = Bench()
    bench.ready(9001)
    bench.service._on_edge = lambda _: bench.ready()
    request = bench.admit()
    assert request.state == "sent"  # it was on its way before anybody was told
    assert bench.admit().state == "held"


# ---------------------------------------------------------------- wake


def test_wake_holds_demand_until_readiness_and_its_grace() -> None:
    bench = Bench(timeout=60)
    bench.service.wake()
    assert bench.edges == [(START, 1, True)]
    assert bench.cold
    bench.clock.advance(5)
    bench.ready(9001)
    bench.clock.advance(LEASE_GRACE - 0.001)
    assert bench.service.demand() == 1
    bench.clock.advance(0.001)
    assert bench.service.demand() == 0
    assert bench.edges[1:] == [(START + 5, 1, False), (START + 5 + LEASE_GRACE, 0, False)]


def test_wake_that_leads_to_nothing_ends_with_the_activation_timeout() -> None:
    bench = Bench(timeout=60)
    bench.service.wake()
    bench.clock.advance(60)
    assert bench.edges[1:] == [(START + 60, 0, False)]
    assert bench.service.counters.activations == {"started": 1, "given_up": 1}
    assert not bench.clock.pending


def test_wake_of_a_warm_service_keeps_it_for_a_grace() -> None:
    bench = Bench()
    bench.ready(9001)
    bench.service.wake()
    assert bench.edges == [(START, 1, False)]
    bench.clock.advance(LEASE_GRACE)
    assert bench.edges[1:] == [(START + LEASE_GRACE, 0, False)]


# ---------------------------------------------------------------- readiness


def test_a_probe_answers_before_the_source_does() -> None:
    bench = Bench()
    request = bench.admit()
    bench.service.set_endpoints([make_endpoint(ready=False)])
    (backend,) = bench.service.probe_targets()
    bench.service.mark_answered(backend)
    assert request.state == "sent"
    bench.service.set_endpoints([make_endpoint(ready=False)])
    assert bench.service.usable == [backend]


def test_nothing_is_probed_while_nobody_waits() -> None:
    bench = Bench()
    bench.service.set_endpoints([make_endpoint(ready=False)])
    assert not bench.service.is_waiting()
    assert bench.service.probe_targets() == []


def test_only_suspects_are_probed_while_others_serve() -> None:
    bench = Bench()
    bench.ready(9001, 9002)
    suspect = bench.service.usable[0]
    assert not bench.service.is_waiting()
    bench.service.mark_suspect(suspect)
    assert bench.service.is_waiting()
    assert bench.service.probe_targets() == [suspect]
    assert bench.cold
    assert bench.admit().backend is not suspect


def test_a_replica_that_moves_to_another_port_is_another() -> None:
    bench = Bench()
    bench.ready(9001)
    request = bench.admit()
    old = bench.service.usable[0]
    moved = make_endpoint(9002)
    gone = bench.service.set_endpoints([type(moved)(old.id, moved.address, moved.port, ready=True)])
    assert gone == [old]
    assert old.removed
    bench.service.mark_answered(old)
    assert old not in bench.service.usable
    bench.done(request)
    assert (old.in_flight, bench.service.in_flight) == (0, 0)


async def test_those_who_wait_for_an_idle_replica_are_told() -> None:
    import asyncio

    bench = Bench()
    bench.ready(9001)
    first, second = bench.admit(), bench.admit()
    backend = bench.service.usable[0]
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.cancel()
    backend.idle += [waiter, gone]
    bench.done(first)
    assert not waiter.done()
    bench.service.set_endpoints([])
    bench.retry(second)
    assert waiter.done()


# ---------------------------------------------------------------- the end


def test_a_removed_service_refuses_what_comes_back_to_it() -> None:
    bench = Bench()
    bench.ready(9001)
    running, again = bench.admit(), bench.admit()
    gone = Failure(404, "model_not_found", "The model was removed.")
    bench.service.refuse_held(gone)
    bench.service.set_endpoints([])
    bench.service.close()
    bench.retry(again)
    assert again.failure is gone
    assert bench.admit().failure is gone
    bench.done(running)
    assert bench.service.in_flight == 0
    assert not bench.clock.pending
    edges = len(bench.edges)
    bench.clock.advance(1000)
    assert len(bench.edges) == edges


def test_close_cancels_every_timer() -> None:
    bench = Bench()
    for _ in range(RAMP_FIRST + 1):
        bench.admit()
    bench.ready(9001)
    assert bench.clock.pending
    bench.service.refuse_held(Failure(503, "stopping", "The gateway stops."))
    bench.service.close()
    assert not bench.clock.pending
    assert bench.service.demand() == RAMP_FIRST
