"""A clock that only moves when told, and requests that check what the policy does with them."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from hearth_gateway import Endpoint, ServiceConfig, parse_service
from hearth_gateway.policy.backend import Backend
from hearth_gateway.policy.failure import Failure
from hearth_gateway.policy.service import Service

START = 1000.0


class FakeTimer:
    """One `call_later`."""

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """The policy's clock; `advance` runs the timers that fall due, each at its own instant."""

    def __init__(self) -> None:
        self.now = START
        self._queue: list[tuple[float, int, FakeTimer]] = []
        self._order = count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> FakeTimer:
        assert delay >= 0
        timer = FakeTimer(self.now + delay, callback)
        heapq.heappush(self._queue, (timer.at, next(self._order), timer))
        return timer

    @property
    def pending(self) -> list[FakeTimer]:
        """Timers that will run."""
        return [timer for _, _, timer in self._queue if not timer.cancelled]

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        ran_at, ran = self.now, 0
        while self._queue and self._queue[0][0] <= end:
            at, _, timer = heapq.heappop(self._queue)
            if timer.cancelled:
                continue
            self.now = max(self.now, at)
            ran_at, ran = self.now, ran + 1 if ran_at == self.now else 1
            assert ran < 20, "timers spin without time passing"
            timer.callback()
        self.now = end


@dataclass(eq=False)
class FakeRequest:
    """A request on a wire that is not there. It fails the test when it is told something impossible."""

    size: int = 10
    admitted: float = 0.0
    released: float = 0.0
    state: str = "new"  # held, sent, refused, gone, answered
    backend: Backend | None = None
    failure: Failure | None = None
    notices: list[str] = field(default_factory=list)
    on_forward: Callable[[FakeRequest], None] | None = None
    on_refuse: Callable[[FakeRequest], None] | None = None

    def hold(self, notice: str) -> None:
        assert self.state in ("new", "sent"), f"held while {self.state}"
        self.state = "held"
        self.notices.append(notice)

    def heartbeat(self, notice: str) -> None:
        assert self.state == "held", f"heartbeat while {self.state}"
        self.notices.append(notice)

    def forward(self, backend: Backend) -> None:
        assert self.state in ("new", "held", "sent"), f"forwarded while {self.state}"
        assert backend.usable, "sent to a backend that must get nothing"
        if self.on_forward:
            self.on_forward(self)
        self.state = "sent"
        self.backend = backend

    def refuse(self, failure: Failure) -> None:
        assert self.state in ("new", "held", "sent"), f"refused while {self.state}"
        if failure.retry_after is not None:
            assert 1 <= failure.retry_after <= 55
        self.state = "refused"
        self.failure = failure
        if self.on_refuse:
            self.on_refuse(self)


class Bench:
    """One service on a fake clock, with a record of what it told."""

    def __init__(self, config: ServiceConfig | None = None, **fields: object) -> None:
        self.clock = FakeClock()
        self.edges: list[tuple[float, int, bool]] = []  # when, demand and activating as a subscriber sees them
        self.cold: list[float] = []  # when the prober was asked for
        self.service = Service(
            config or make_config(**fields),
            self.clock,
            on_edge=self._edge,
            on_cold=lambda _: self.cold.append(self.now),
        )

    @property
    def now(self) -> float:
        return self.clock.now

    def _edge(self, name: str) -> None:
        assert name == self.service.name
        stats = self.service.stats()
        self.edges.append((self.now, stats.demand, stats.activating))

    def admit(self, size: int = 10) -> FakeRequest:
        request = FakeRequest(size)
        self.service.admit(request)
        return request

    def done(self, request: FakeRequest) -> None:
        assert request.state == "sent"
        assert request.backend is not None
        request.state = "answered"
        self.service.done(request.backend)

    def retry(self, request: FakeRequest) -> None:
        assert request.state == "sent"
        assert request.backend is not None
        self.service.retry(request, request.backend)

    def abandon(self, request: FakeRequest) -> None:
        request.state = "gone"
        self.service.abandon(request)

    def ready(self, *ports: int) -> None:
        """Report these replicas, all ready."""
        self.service.set_endpoints([make_endpoint(port) for port in ports])


def make_endpoint(port: int = 9001, *, ready: bool = True, terminating: bool = False) -> Endpoint:
    return Endpoint(f"replica-{port}", "127.0.0.1", port, ready=ready, terminating=terminating)


def make_config(
    *, mode: str = "keepalive", heartbeat: float = 10.0, timeout: float = 300.0, **limits: object
) -> ServiceConfig:
    return parse_service(
        {
            "name": "m",
            "coldStart": {"mode": mode, "heartbeatIntervalSeconds": heartbeat},
            "activationTimeoutSeconds": timeout,
            "limits": limits,
        }
    )
