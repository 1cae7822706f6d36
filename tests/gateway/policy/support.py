"""Requests that check what the policy does with them, and one service on a fake clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hearth_gateway import Endpoint, ServiceConfig, parse_service
from hearth_gateway.policy.backend import Backend
from hearth_gateway.policy.failure import Failure
from hearth_gateway.policy.service import Service
from tests.support.clock import FakeClock


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
