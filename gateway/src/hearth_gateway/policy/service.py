"""Policy of one service: admission, demand, activation, readiness and release. No sockets, no bytes on the wire.

A request is admitted and either forwarded at once (a usable backend exists), held, or refused. Held requests, requests in flight
and an activation lease make up the demand that a scaler sees. The first usable backend ends the activation: held requests are
released oldest first by a ramp that doubles, so that an engine that just started is not hit by all of them in one instant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from hearth_gateway.config import ServiceConfig
from hearth_gateway.policy.backend import Backend, Endpoint
from hearth_gateway.policy.failure import Failure, retry_after

LEASE_GRACE = 15.0
"""Seconds that demand outlives readiness, or the last client that left while held."""
RAMP_FIRST = 16
"""Requests released at once when a backend becomes usable."""
RAMP_INTERVAL = 0.025
"""Seconds until twice as many follow."""
IDLE_NOTICE = 1.0
"""Seconds without demand before the edge to zero is reported: sequential requests are no edges."""
SMALL_BODY = 64 * 1024
"""Bytes; larger bodies are accounted for, these are bounded by the number of connections."""
FIRST_ESTIMATE = 30.0
"""Seconds assumed for a cold start that was never seen."""
WAIT_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
"""Seconds."""


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Do not call."""


class Clock(Protocol):
    """The part of an event loop that the policy needs."""

    def time(self) -> float:
        """Return the time, in seconds."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        """Call `callback` in `delay` seconds."""


class Request(Protocol):
    """The part of a request on the wire that the policy needs."""

    admitted: float
    """When it was held, in the clock's seconds; 0.0 before."""
    released: float
    """When it was released after a hold; 0.0 when it never was held."""

    @property
    def size(self) -> int:
        """The bytes it keeps in memory while it waits."""

    def hold(self, notice: str) -> None:
        """Keep it waiting; a stream is sent `notice` at once."""

    def heartbeat(self, notice: str) -> None:
        """Say that it still waits."""

    def forward(self, backend: Backend) -> None:
        """Send it there."""

    def refuse(self, failure: Failure) -> None:
        """Answer it with `failure`: no backend will."""


@dataclass(frozen=True, slots=True)
class ServiceStats:
    """A snapshot. `demand` is what a scaler acts on; `last_request` is in the event loop's seconds."""

    held: int
    in_flight: int
    demand: int
    activating: bool
    last_request: float | None
    held_bytes: int = 0
    usable: int = 0
    notice: str | None = None
    activation_seconds: float | None = None


class Counters:
    """Counters of one service, for /metrics. Plain integers: the hot path must not pay for a metrics library."""

    __slots__ = ("activations", "codes", "rejections", "replays", "wait_buckets", "wait_count", "wait_sum")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {200: 0}
        self.rejections: dict[str, int] = {}
        self.activations: dict[str, int] = {}
        self.replays = 0
        self.wait_buckets = [0] * len(WAIT_BUCKETS)
        self.wait_count = 0
        self.wait_sum = 0.0

    def count(self, status: int) -> None:
        """Count a request that ended with this status."""
        self.codes[status] = self.codes.get(status, 0) + 1

    def waited(self, seconds: float) -> None:
        """Count a held request that was released after so long."""
        self.wait_count += 1
        self.wait_sum += seconds
        for index, bound in enumerate(WAIT_BUCKETS):
            if seconds <= bound:
                self.wait_buckets[index] += 1
                break


def _small_body(config: ServiceConfig) -> int:
    """Return the bytes up to which a request's body is compared neither with its limit nor with the memory that is left."""
    return min(SMALL_BODY, config.limits.max_request_bytes)


_load = attrgetter("in_flight")
_waiting_since = attrgetter("admitted")


class Service:
    """One served model. Call its methods from one event loop only."""

    __slots__ = (
        "_clock",
        "_closed",
        "_deadline",
        "_ending",
        "_estimate",
        "_heartbeat_at",
        "_idle_notice",
        "_idle_since",
        "_lease_until",
        "_notified",
        "_now",
        "_on_cold",
        "_on_edge",
        "_ramp",
        "_ramp_size",
        "_timer",
        "activation_started",
        "backends",
        "config",
        "counters",
        "held",
        "held_bytes",
        "in_flight",
        "last_request",
        "max_in_flight",
        "name",
        "notice",
        "small_body",
        "usable",
    )

    def __init__(
        self,
        config: ServiceConfig,
        clock: Clock,
        *,
        on_edge: Callable[[str], None],
        on_cold: Callable[[Service], None],
        idle_notice: float | None = None,
    ) -> None:
        """`idle_notice`: seconds without demand before subscribers are notified; None: IDLE_NOTICE."""
        self.config = config
        self.name = config.name
        self.max_in_flight = config.limits.max_in_flight
        self.small_body = _small_body(config)
        self.backends: dict[str, Backend] = {}
        self.usable: list[Backend] = []
        self.held: dict[Request, None] = {}  # the one that waits longest comes first
        self.held_bytes = 0
        self.in_flight = 0
        self.last_request: float | None = None
        self.notice: str | None = None
        self.activation_started: float | None = None
        self.counters = Counters()
        self._clock = clock
        self._now = clock.time
        self._on_edge = on_edge
        self._on_cold = on_cold
        self._idle_notice = IDLE_NOTICE if idle_notice is None else idle_notice
        self._estimate: float | None = None
        self._lease_until = 0.0
        self._heartbeat_at = 0.0
        self._idle_since = 0.0  # when the last request in flight ended
        self._timer: Timer | None = None  # for the next deadline, whichever it is
        self._deadline = 0.0  # when it fires
        self._ramp: Timer | None = None
        self._ramp_size = RAMP_FIRST
        self._notified = False  # whether subscribers were notified of demand
        self._ending: Failure | None = None  # why no request is held from here on
        self._closed = False

    # ---------------------------------------------------------------- requests

    def admit(self, request: Request) -> None:
        """Forward, hold or refuse a new request."""
        usable = self.usable
        if usable and not self.held and self.in_flight < self.max_in_flight:
            # The warm path; _send does the same for requests that took another way.
            backend = usable[0] if len(usable) == 1 else min(usable, key=_load)
            self.in_flight += 1
            backend.in_flight += 1
            self.last_request = self._now()
            request.forward(backend)
            if not self._notified:
                self._notify()
        else:
            self._admit_without_capacity(request)

    def _send(self, request: Request) -> None:
        usable = self.usable
        backend = usable[0] if len(usable) == 1 else min(usable, key=_load)
        self.in_flight += 1
        backend.in_flight += 1
        self.last_request = self._now()
        request.forward(backend)
        if not self._notified:
            self._notify()

    def _admit_without_capacity(self, request: Request) -> None:
        now = self._now()
        self.last_request = now
        config, limits = self.config, self.config.limits
        if self._ending is not None:
            self._reject(request, self._ending)
        elif self.usable and not self.held:
            text = (
                f"The model `{config.name}` is busy: {self.in_flight} requests are in flight, its limit. Retry later."
            )
            self._reject(request, Failure(429, "too_many_requests", text, retry_after=1))
        elif not self.usable and config.cold_start.mode == "reject":
            self._lease(now, config.activation_timeout_seconds)
            text = f"The model `{config.name}` was asleep and is being started{self._because()}. Retry later."
            self._reject(request, Failure(503, "cold_start", text, retry_after=retry_after(self.estimate(now))))
        elif len(self.held) >= limits.max_held or self.held_bytes + request.size > limits.max_held_bytes:
            if not self.usable and not self.held:  # the refused client is the only sign of demand
                self._lease(now, config.activation_timeout_seconds)
            text = (
                f"The model `{config.name}` is {self._condition()}, and {len(self.held)} requests of {self.held_bytes} bytes"
                f" are waiting for it{self._because()}. Retry later."
            )
            self._reject(request, Failure(429, "queue_full", text, retry_after=retry_after(self.estimate(now))))
        else:
            request.admitted = now
            self._hold(request, now)

    def _hold(self, request: Request, now: float) -> None:
        self.held[request] = None
        self.held_bytes += request.size
        if not self._heartbeat_at:
            self._heartbeat_at = now + self.config.cold_start.heartbeat_interval_seconds
        request.hold(self._waiting_notice(now))
        self._arm(now)
        if not self.usable:
            self._activate(now)

    def retry(self, request: Request, backend: Backend) -> None:
        """Send a request elsewhere that came back from `backend` before its first byte, or hold it, whatever the limits say.

        Its place in flight is given back here. If it was held before, it keeps its deadline and its place in the queue.
        """
        self.counters.replays += 1
        self._leave(backend)
        if self.usable:
            self._send(request)
        elif self._ending is not None:
            self._reject(request, self._ending)
        else:
            now = self._now()
            if not request.admitted:
                request.admitted = now
            elif self.held:
                self.held = dict.fromkeys(sorted((*self.held, request), key=_waiting_since))
            self._hold(request, now)

    def done(self, backend: Backend) -> None:
        """Give back the place of a forwarded request that has ended, however it ended."""
        self.in_flight -= 1
        backend.in_flight -= 1
        if self.held or backend.idle or not self.in_flight:
            self._after_done(backend)

    def _leave(self, backend: Backend) -> None:
        self.in_flight -= 1
        backend.in_flight -= 1
        if backend.idle and not backend.in_flight:
            backend.settle()
        if not self.in_flight:
            self._idle_since = self._now()

    def _after_done(self, backend: Backend) -> None:
        if backend.idle and not backend.in_flight:
            backend.settle()
        if self.held and self.usable and self._ramp is None:
            self._release()
        if not self.in_flight:
            now = self._idle_since = self._now()
            self._arm(now)

    def abandon(self, request: Request) -> None:
        """Drop a held request whose client left."""
        if request not in self.held:
            return
        self._unhold(request)
        if not self.held and not self.usable:
            # It may come back, so the activation goes on for a while, but not to its end: perhaps it does not.
            now = self._now()
            self._lease_until = max(self._lease_until, now + LEASE_GRACE)
            self._arm(now)

    def _unhold(self, request: Request) -> None:
        del self.held[request]
        self.held_bytes -= request.size
        if not self.held:
            self._heartbeat_at = 0.0

    def _reject(self, request: Request, failure: Failure) -> None:
        self.counters.rejections[failure.reason] = self.counters.rejections.get(failure.reason, 0) + 1
        request.refuse(failure)

    # ---------------------------------------------------------------- demand and activation

    @property
    def requests(self) -> int:
        """The requests held and in flight."""
        return len(self.held) + self.in_flight

    def demand(self) -> int:
        """Return the requests held and in flight; at least 1 while an activation lease runs."""
        return self.requests or (1 if self._now() < self._lease_until else 0)

    def wanted(self) -> bool:
        """Return whether subscribers see demand: it ends when they are notified, a while after the last request."""
        return self._notified or self.demand() > 0

    def stats(self) -> ServiceStats:
        """Return a snapshot of this moment."""
        now = self._now()
        started = self.activation_started
        return ServiceStats(
            held=len(self.held),
            in_flight=self.in_flight,
            demand=self.demand(),
            activating=started is not None,
            last_request=self.last_request,
            held_bytes=self.held_bytes,
            usable=len(self.usable),
            notice=self.notice,
            activation_seconds=None if started is None else now - started,
        )

    def wake(self) -> None:
        """Create demand for a backend as a request would, without a request."""
        now = self._now()
        self.last_request = now
        self._lease(now, LEASE_GRACE if self.usable else self.config.activation_timeout_seconds)

    def lease_left(self) -> float:
        """Return the seconds left of demand without a request; 0 or less: none."""
        return self._lease_until - self._now()

    def take_lease(self, seconds: float) -> None:
        """Create demand for so long, for clients that another replica of the gateway has sent away."""
        self._lease(self._now(), min(seconds, self.config.activation_timeout_seconds))

    def estimate(self, now: float) -> float:
        """Return the seconds that the running activation is still expected to take."""
        whole = self._estimate if self._estimate is not None else FIRST_ESTIMATE
        elapsed = 0.0 if self.activation_started is None else now - self.activation_started
        return max(1.0, whole - elapsed)

    def _lease(self, now: float, seconds: float) -> None:
        """Create demand without a request, for so many seconds."""
        self._lease_until = max(self._lease_until, now + seconds)
        if self.usable:
            self._notify()
        else:
            self._activate(now)
        self._arm(now)

    def _activate(self, now: float) -> None:
        """Begin an activation, unless one runs: a backend is needed and none is usable."""
        if self.activation_started is None:
            self.activation_started = now
            self._count_activation("started")
            self._notified = True
            self._on_edge(self.name)
        self._on_cold(self)

    def _count_activation(self, outcome: str) -> None:
        self.counters.activations[outcome] = self.counters.activations.get(outcome, 0) + 1

    def _notify(self) -> None:
        if not self._notified:
            self._notified = True
            self._on_edge(self.name)

    def _condition(self) -> str:
        return "busy" if self.usable else "starting"

    def _because(self) -> str:
        return f" ({self.notice})" if self.notice else ""

    def _waiting_notice(self, now: float) -> str:
        text = f"{self.name} is {self._condition()}"
        if not self.usable:
            text += f", {now - (self.activation_started or now):.0f} s so far"
            if self._estimate is not None:
                text += f", about {self.estimate(now):.0f} s left"
        return text + self._because()

    # ---------------------------------------------------------------- readiness and release

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> list[Backend]:
        """Apply the source's list; return the backends that are gone."""
        fresh: dict[str, Backend] = {}
        for endpoint in endpoints:
            known = self.backends.get(endpoint.id)
            if known is not None and (known.address, known.port) == (endpoint.address, endpoint.port):
                known.update(endpoint)
                fresh[endpoint.id] = known
            else:
                fresh[endpoint.id] = Backend(endpoint)
        gone = [backend for key, backend in self.backends.items() if fresh.get(key) is not backend]
        for backend in gone:
            backend.removed = True
        self.backends = fresh
        self.refresh()
        return gone

    def mark_suspect(self, backend: Backend) -> None:
        """Send nothing to a backend that refused a connection until a probe, or its source, reports it ready."""
        backend.suspect = True
        backend.answered = False
        self.refresh()
        self._on_cold(self)

    def mark_answered(self, backend: Backend) -> None:
        """Trust a backend: a probe got a 200."""
        backend.answer()
        self.refresh()

    def probe_targets(self) -> list[Backend]:
        """Return the backends to probe: all while nothing is usable and requests wait; else only those that failed."""
        if self.usable:
            return [b for b in self.backends.values() if b.suspect and not b.terminating]
        if not self.held and self._now() >= self._lease_until:
            return []
        return [b for b in self.backends.values() if not b.terminating]

    def is_waiting(self) -> bool:
        """Return whether demand exists that no backend can serve yet: the prober runs then."""
        if self.usable:
            return any(b.suspect and not b.terminating for b in self.backends.values())
        return bool(self.held) or self._now() < self._lease_until

    def refresh(self) -> None:
        """Find the usable backends; the first one ends the activation and releases the held requests."""
        self.usable = [backend for backend in self.backends.values() if backend.usable]
        if not self.usable:
            if self.held:
                self._activate(self._now())
            return
        if self.activation_started is not None:
            now = self._now()
            seconds = now - self.activation_started
            self._estimate = seconds if self._estimate is None else 0.5 * self._estimate + 0.5 * seconds
            self.activation_started = None
            self._lease_until = now + LEASE_GRACE
            self._count_activation("ready")
            self._on_edge(self.name)
            self._arm(now)
        if self.held and self._ramp is None:
            self._ramp_size = RAMP_FIRST
            self._release()

    def _release(self) -> None:
        """Release the oldest; twice as many follow after RAMP_INTERVAL."""
        now = self._now()
        count = self._ramp_size
        self._ramp_size = count * 2
        self._ramp = self._clock.call_later(RAMP_INTERVAL, self._ramp_on)
        for request in list(self.held)[:count]:
            if not self.usable or self.in_flight >= self.max_in_flight:
                break
            if request not in self.held:
                continue
            self._unhold(request)
            request.released = now
            self.counters.waited(now - request.admitted)
            self._send(request)

    def _ramp_on(self) -> None:
        self._ramp = None
        if self.held and self.usable and self.in_flight < self.max_in_flight:
            self._release()
        else:
            self._ramp_size = RAMP_FIRST

    # ---------------------------------------------------------------- time

    def _next_deadline(self) -> float | None:
        """Return when time alone changes something; None when it cannot."""
        if self.held:
            oldest = next(iter(self.held))
            return min(self._heartbeat_at, oldest.admitted + self.config.activation_timeout_seconds)
        if self.activation_started is not None:
            return self._lease_until
        if self._notified and not self.in_flight:
            return max(self._lease_until, self._idle_since + self._idle_notice)
        return None

    def _arm(self, now: float) -> None:
        """Set the timer to the next deadline. One that fires earlier stays: it sets itself again."""
        at = self._next_deadline()
        if at is None or self._closed:
            return
        if self._timer is not None:
            if self._deadline <= at:
                return
            self._timer.cancel()
        self._deadline = at
        self._timer = self._clock.call_later(max(0.0, at - now), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._now()
        self._expire(now)
        if self.held:
            if now >= self._heartbeat_at:
                self._heartbeat_at = now + self.config.cold_start.heartbeat_interval_seconds
                notice = self._waiting_notice(now)
                for request in list(self.held):
                    request.heartbeat(notice)
        elif now >= self._lease_until:
            self._subside(now)
        self._arm(now)

    def _subside(self, now: float) -> None:
        """End an activation that led to nothing, and report the end of demand: no request waits and no lease runs."""
        given_up = self.activation_started is not None
        if given_up:
            self.activation_started = None
            self._count_activation("given_up")
        gone = self._notified and not self.in_flight and (given_up or now >= self._idle_since + self._idle_notice)
        if gone:
            self._notified = False
        if given_up or gone:
            self._on_edge(self.name)

    def _expire(self, now: float) -> None:
        limit = self.config.activation_timeout_seconds
        for request in list(self.held):
            if request.admitted + limit > now:
                break
            self._unhold(request)
            what = "was busy for" if self.usable else "did not become ready within"
            text = f"The model `{self.name}` {what} {limit:g} s{self._because()}. Retry later."
            self._reject(request, Failure(503, "activation_timeout", text, retry_after=retry_after(self.estimate(now))))

    # ---------------------------------------------------------------- change and end

    def reconfigure(self, config: ServiceConfig) -> None:
        """Apply new settings; requests that are held or in flight continue."""
        self.config = config
        self.max_in_flight = config.limits.max_in_flight
        self.small_body = _small_body(config)
        if self.held:
            now = self._now()
            self._heartbeat_at = min(self._heartbeat_at, now + config.cold_start.heartbeat_interval_seconds)
            self._arm(now)
            if self.usable and self._ramp is None and self.in_flight < self.max_in_flight:
                self._release()

    def refuse_held(self, failure: Failure) -> None:
        """Refuse all held requests, and hold none from here on: the service is deleted or the gateway stops."""
        self._ending = failure
        for request in list(self.held):
            self._unhold(request)
            self._reject(request, failure)

    def hold_again(self) -> None:
        """Hold requests again after `refuse_held`."""
        self._ending = None

    def close(self) -> None:
        """Cancel every timer, for good; requests in flight may still end."""
        for timer in (self._timer, self._ramp):
            if timer is not None:
                timer.cancel()
        self._timer = self._ramp = None
        self._lease_until = 0.0
        self._closed = True
