"""Laws of the policy that hold after any sequence of events."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from hearth_gateway import Endpoint, ServiceConfig
from hearth_gateway.policy.backend import Backend
from hearth_gateway.policy.failure import Failure
from hearth_gateway.policy.service import IDLE_NOTICE, LEASE_GRACE
from tests.gateway.policy.support import Bench, FakeRequest, make_config

configs = st.builds(
    make_config,
    mode=st.sampled_from(("keepalive", "keepalive", "keepalive", "reject")),
    heartbeat=st.sampled_from((1.0, 10.0)),
    timeout=st.sampled_from((5.0, 60.0)),
    maxHeld=st.sampled_from((40, 2, 0, 40)),
    maxHeldBytes=st.sampled_from((10_000, 10_000, 50)),
    maxInFlight=st.sampled_from((1, 3, 100)),
)
endpoints = st.lists(
    st.builds(
        Endpoint,
        id=st.sampled_from(("a", "b", "c")),
        address=st.just("127.0.0.1"),
        port=st.sampled_from((9001, 9002)),
        ready=st.sampled_from((True, True, False)),
        terminating=st.sampled_from((False, False, True)),
    ),
    max_size=3,
    unique_by=lambda endpoint: endpoint.id,
)
steps = st.sampled_from((0.001, 0.03, 0.5, 1.0, 4.9, 15.0, 61.0))


class PolicyMachine(RuleBasedStateMachine):
    """Everything that may happen to a service, in any order, beside a model of what must come of it."""

    requests = Bundle("requests")

    @initialize(config=configs)
    def create(self, config: ServiceConfig) -> None:
        self.config = config
        self.bench = Bench(config)
        self.service = self.bench.service
        self.alive: list[FakeRequest] = []
        self.replays: set[FakeRequest] = set()
        self.backends: list[Backend] = []  # all that ever were
        self.lease_until = 0.0
        self.busy_until = self.bench.now  # when demand was last seen
        self.edges_checked = 0
        self.announced = False
        self.starts_seen = 0
        self.activating = False
        self.ended = False

    # ---------------------------------------------------------------- what happens

    @rule(target=requests, size=st.sampled_from((1, 20)), pause=st.sampled_from((0.0, 0.01)), cold=st.booleans())
    def burst(self, size: int, pause: float, cold: bool) -> Any:
        """More than the first step of a ramp, by bytes or by count more than there may be; a cold start makes it common."""
        if cold and not self.ended:
            self.set_endpoints([])
        burst = []
        for _ in range(20):
            burst.append(self.admit(size))
            self.bench.clock.advance(pause)
        if cold and not self.ended:
            self.become_ready(1)
            burst.append(self.admit(size))
        return multiple(*burst)

    @rule(target=requests, size=st.sampled_from((1, 20, 60)))
    def admit_one(self, size: int) -> FakeRequest:
        return self.admit(size)

    def admit(self, size: int) -> FakeRequest:
        service, limits = self.service, self.config.limits
        held, in_flight, held_bytes = len(service.held), service.in_flight, service.held_bytes
        usable = bool(service.usable)
        request = FakeRequest(size, on_forward=self._forwarded, on_refuse=self._refused)
        self.alive.append(request)
        service.admit(request)
        if usable and not held and in_flight < limits.max_in_flight:
            assert request.state == "sent"
        elif self.ended:
            assert request.state == "refused"
        elif usable and not held:
            assert request.failure is not None
            assert (request.failure.status, request.failure.reason) == (429, "too_many_requests")
        elif not usable and self.config.cold_start.mode == "reject":
            assert request.failure is not None
            assert (request.failure.status, request.failure.reason) == (503, "cold_start")
            self._lease(self.config.activation_timeout_seconds)
        elif held >= limits.max_held or held_bytes + size > limits.max_held_bytes:
            assert request.failure is not None
            assert (request.failure.status, request.failure.reason) == (429, "queue_full")
            if not usable and not held:
                self._lease(self.config.activation_timeout_seconds)
        else:
            assert request.state == "held"
            assert request.admitted == self.bench.now
        return request

    @rule(request=consumes(requests))
    def end_request(self, request: FakeRequest) -> None:
        self.end(request)

    def end(self, request: FakeRequest) -> None:
        """Complete the answer, or let the client leave."""
        if request.state == "sent":
            assert request.backend is not None
            request.state = "answered"
            self.alive.remove(request)
            self.service.done(request.backend)
        elif request.state == "held":
            self._abandon(request)

    @rule(request=consumes(requests))
    def abandon(self, request: FakeRequest) -> None:
        if request.state == "held":
            self._abandon(request)

    @rule(request=requests, suspect=st.booleans())
    def retry(self, request: FakeRequest, suspect: bool) -> None:
        if request.state != "sent":
            return
        assert request.backend is not None
        backend = request.backend
        if suspect:
            self.service.mark_suspect(backend)
            self._note_readiness()
        usable, waited = bool(self.service.usable), request.admitted
        self.replays.add(request)
        self.service.retry(request, backend)
        if usable:
            assert request.state == "sent"
        elif self.ended:
            assert request.state == "refused"
        else:
            assert request.state == "held"
            assert request.admitted == (waited or self.bench.now)  # its deadline does not move
            self.bench.clock.advance(0)

    @precondition(lambda self: not self.ended)
    @rule(count=st.sampled_from((1, 2)))
    def some_are_ready(self, count: int) -> None:
        self.become_ready(count)

    def become_ready(self, count: int) -> None:
        self.set_endpoints([Endpoint(name, "127.0.0.1", 9001, ready=True) for name in "abc"[:count]])

    @precondition(lambda self: not self.ended)
    @rule(reported=endpoints)
    def report(self, reported: list[Endpoint]) -> None:
        self.set_endpoints(reported)

    def set_endpoints(self, reported: list[Endpoint]) -> None:
        before = dict(self.service.backends)
        gone = self.service.set_endpoints(reported)
        assert set(gone) == set(before.values()) - set(self.service.backends.values())
        assert [(b.id, b.port, b.ready, b.terminating) for b in self.service.backends.values()] == [
            (e.id, e.port, e.ready, e.terminating) for e in reported
        ]
        self.backends += [b for b in self.service.backends.values() if b not in self.backends]
        self._note_readiness()

    @precondition(lambda self: self.backends)
    @rule(data=st.data(), answers=st.booleans())
    def probe(self, data: Any, answers: bool) -> None:
        """Report a probe's 200 or a refused connection; possibly late, from a replica that is gone."""
        backend = data.draw(st.sampled_from(self.backends))
        if answers:
            self.service.mark_answered(backend)
        else:
            self.service.mark_suspect(backend)
            assert backend not in self.service.usable
        self._note_readiness()

    @rule(seconds=steps)
    def advance(self, seconds: float) -> None:
        self.bench.clock.advance(seconds)

    @precondition(lambda self: not self.ended)
    @rule(config=configs)
    def reconfigure(self, config: ServiceConfig) -> None:
        self.config = config
        self.service.reconfigure(config)
        self.bench.clock.advance(0)  # deadlines that a shorter timeout has put into the past

    @precondition(lambda self: not self.ended)
    @rule()
    def wake(self) -> None:
        self._lease(LEASE_GRACE if self.service.usable else self.config.activation_timeout_seconds)
        self.service.wake()

    @precondition(lambda self: not self.ended and self.bench.now > 1100)
    @rule()
    def remove(self) -> None:
        """As the gateway does for a service that left its table."""
        self.service.refuse_held(Failure(404, "model_not_found", "gone"))
        assert not self.service.held
        self.service.set_endpoints([])
        self.service.close()
        self.ended = True
        self.lease_until = 0.0

    @rule()
    def let_everything_end(self) -> None:
        """No new requests, engines that answer within a second: all have their fate, and nothing is left behind."""
        clock, service = self.bench.clock, self.service
        for _ in range(200):
            for request in [request for request in self.alive if request.state == "sent"]:
                self.end(request)
            if not self.alive and not clock.pending:
                break
            clock.advance(1.0)
        assert not self.alive
        assert not clock.pending
        assert service.held_bytes == service.demand() == 0
        if not self.ended and self.bench.edges:
            assert self.bench.edges[-1][1:] == (0, False)

    # ---------------------------------------------------------------- what must hold

    @invariant()
    def every_request_has_one_fate(self) -> None:
        held = {request for request in self.alive if request.state == "held"}
        sent = [request for request in self.alive if request.state == "sent"]
        assert len(held) + len(sent) == len(self.alive)
        assert set(self.service.held) == held
        assert self.service.in_flight == len(sent)
        assert self.service.held_bytes == sum(request.size for request in held)
        for backend in self.backends:
            assert backend.in_flight == sum(request.backend is backend for request in sent)

    @invariant()
    def demand_is_what_waits_and_runs_or_a_lease(self) -> None:
        now = self.bench.now
        expected = len(self.alive) or (1 if now < self.lease_until else 0)
        stats = self.service.stats()
        assert stats.demand == self.service.demand() == expected
        assert (stats.held, stats.in_flight) == (len(self.service.held), self.service.in_flight)
        if expected:
            self.busy_until = max(now, self.lease_until if not self.alive else 0.0)

    @invariant()
    def bounds_hold(self) -> None:
        """Admission stays within the limits of its moment; only replays and smaller limits may leave more behind."""
        admitted = [request for request in self.service.held if request not in self.replays]
        assert len(admitted) <= 40
        assert sum(request.size for request in admitted) <= 10_000
        assert self.service.in_flight - len(self.replays) <= 100

    @invariant()
    def nobody_waits_too_long_or_out_of_order(self) -> None:
        waits = [request.admitted for request in self.service.held]
        assert waits == sorted(waits)
        if waits:
            assert self.bench.now < waits[0] + self.config.activation_timeout_seconds

    @invariant()
    def a_held_request_waits_for_something(self) -> None:
        service = self.service
        if service.held and service.usable:
            assert service._ramp is not None or service.in_flight >= service.max_in_flight
        if service.held and not service.usable:
            assert service.activation_started is not None
            assert service.is_waiting()
            assert set(service.probe_targets()) == {b for b in service.backends.values() if not b.terminating}

    @invariant()
    def usable_is_what_may_be_used(self) -> None:
        service = self.service
        assert service.usable == [b for b in service.backends.values() if b.usable]
        assert not any(b.suspect or b.terminating or b.removed for b in service.usable)

    @invariant()
    def edges_are_told_once(self) -> None:
        edges = self.bench.edges
        for when, demand, activating in edges[self.edges_checked :]:
            changed = (demand > 0) != self.announced or activating != self.activating
            assert changed, f"at {when} nothing changed, but it was told"
            self.announced, self.activating = demand > 0, activating
        self.edges_checked = len(edges)
        if self.ended:
            return
        stats = self.service.stats()
        assert stats.demand == (self.service.requests or (1 if self.service.lease_left() > 0 else 0))
        assert self.service.wanted() == self.announced
        assert stats.activating == self.activating
        if stats.demand:
            assert self.announced, "demand that nobody was told of"
        elif self.bench.now > self.busy_until + IDLE_NOTICE + 61.0:
            assert not self.announced, "nobody was told that demand is gone"

    @invariant()
    def timers_run_only_for_something(self) -> None:
        pending = self.bench.clock.pending
        assert len(pending) <= 2  # deadlines and the ramp
        if self.ended:
            assert not pending
        elif not self.announced and not self.service.demand():
            assert len(pending) <= (self.service._ramp is not None)

    # ---------------------------------------------------------------- the model

    def _abandon(self, request: FakeRequest) -> None:
        request.state = "gone"
        self.alive.remove(request)
        self.service.abandon(request)
        if not self.service.held and not self.service.usable:
            self._lease(LEASE_GRACE)

    def _lease(self, seconds: float) -> None:
        self.lease_until = max(self.lease_until, self.bench.now + seconds)

    def _note_readiness(self) -> None:
        """End the lease with the activation that a replica ends."""
        ready = self.service.counters.activations.get("ready", 0)
        if ready > self.starts_seen:
            self.starts_seen = ready
            self.lease_until = self.bench.now + LEASE_GRACE

    def _refused(self, request: FakeRequest) -> None:
        self.alive.remove(request)
        assert request.failure is not None
        if request.failure.reason == "activation_timeout":
            assert self.bench.now >= request.admitted + self.config.activation_timeout_seconds

    def _forwarded(self, request: FakeRequest) -> None:
        if request.state == "held":
            assert all(request.admitted <= other.admitted for other in self.service.held), "not the oldest first"


TestPolicy = PolicyMachine.TestCase
TestPolicy.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
