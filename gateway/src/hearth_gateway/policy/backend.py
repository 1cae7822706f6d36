"""Backends: the replicas of a service, as their source reports them and as the gateway finds them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One backend replica as its source (a supervisor, an EndpointSlice, a file) reports it.

    A replica that is not ready is probed while requests wait for it; a terminating one gets no new request.
    """

    id: str
    address: str
    port: int
    ready: bool = False
    terminating: bool = False


class Backend:
    """A replica with what the gateway knows about it beyond its source."""

    __slots__ = (
        "address",
        "answered",
        "id",
        "idle",
        "in_flight",
        "pool",
        "port",
        "ready",
        "removed",
        "suspect",
        "terminating",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.id = endpoint.id
        self.address = endpoint.address
        self.port = endpoint.port
        self.ready = endpoint.ready
        self.terminating = endpoint.terminating
        self.answered = False  # the gateway's own probe got a 200
        self.suspect = False  # refused a connection since it was last known to be good
        self.removed = False
        self.in_flight = 0
        self.pool: list[Any] = []  # idle connections, the most recently used last; the policy never looks inside
        self.idle: list[asyncio.Future[None]] = []  # completed when in_flight becomes 0

    @property
    def usable(self) -> bool:
        """Whether a request may be sent to it now."""
        return (self.ready or self.answered) and not (self.suspect or self.terminating or self.removed)

    def update(self, endpoint: Endpoint) -> None:
        """Apply a new report. A replica that turns ready is trusted again; one that turns unready must answer a probe first."""
        if endpoint.ready and not self.ready:
            self.suspect = False
        if self.ready and not endpoint.ready:
            self.answered = False
        self.ready = endpoint.ready
        self.terminating = endpoint.terminating

    def answer(self) -> None:
        """Trust it: a probe got a 200."""
        self.answered = True
        self.suspect = False

    def settle(self) -> None:
        """Complete the futures that wait for the last request to end."""
        waiters, self.idle = self.idle, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
