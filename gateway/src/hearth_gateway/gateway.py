"""Gateway: many services, one port, one event loop. The façade for programs that embed it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from hearth_gateway import metrics
from hearth_gateway.config import ServiceConfig
from hearth_gateway.connections import Connections
from hearth_gateway.http.client import Client
from hearth_gateway.http.connector import Connector, empty_pools, sweep_pools
from hearth_gateway.http.keepalive import keep_alive
from hearth_gateway.http.local_routes import UNREAD, starting
from hearth_gateway.http.probe import Prober
from hearth_gateway.http.router import Router
from hearth_gateway.limits import GatewayLimits, RequestBudget
from hearth_gateway.policy.backend import Endpoint
from hearth_gateway.policy.failure import Failure
from hearth_gateway.policy.service import Service, ServiceStats
from hearth_gateway.sockets import BACKLOG, open_everywhere, raise_file_limit
from hearth_gateway.table import ServiceTable

if TYPE_CHECKING:
    from prometheus_client.core import Metric

STOPPING = Failure(503, "stopping", "The gateway is shutting down. Retry later.", retry_after=5)
SWEEP_INTERVAL = 1.0
"""Seconds between two sweeps, which end what ends by time alone."""
FLUSH = 1.0
"""Seconds that a stop leaves clients to read the last error."""


class Gateway:
    """Policy and HTTP together. Create it anywhere, use it inside one running event loop."""

    def __init__(self, limits: GatewayLimits | None = None) -> None:
        self.limits = limits or GatewayLimits()
        self.budget = RequestBudget(self.limits)
        self.connections = Connections(self.limits)
        self.connector = Connector()
        self.table = ServiceTable({})
        self.router = Router(self.table)
        self.draining = False
        self.closing = False
        """Whether no connection stays open after its response."""
        self.started_at = int(time.time())
        self.port = 0
        self.waits_for: str | None = None
        """The event that a source of services waits for before new clients should come, as text."""
        self.total: Callable[[str], int | None] | None = None
        """The demand for a service over all replicas of this gateway."""
        self.idle_notice: float | None = None
        """For services that are added from here on; see Service."""
        self.collectors: list[Callable[[], Iterable[Metric]]] = []
        """Sources of more metrics."""
        self._applied = False
        self._subscribers: list[Callable[[str], None]] = []
        self._prober = Prober()
        self._loop: asyncio.AbstractEventLoop
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    # ---------------------------------------------------------------- for programs that embed it

    async def start(self, host: str, port: int) -> None:
        """Listen. `port` 0 takes a free one, see `self.port`; an empty `host` is every address, IPv4 and IPv6.

        Raises OSError when the address is taken or not ours.
        """
        loop = self._loop = asyncio.get_running_loop()
        raise_file_limit()
        if host:
            self._server = await loop.create_server(lambda: Client(self), host, port, backlog=BACKLOG)
        else:
            every = open_everywhere(port)
            self._server = await loop.create_server(lambda: Client(self), sock=every, backlog=BACKLOG)
        for sock in self._server.sockets:
            keep_alive(sock)  # the connections that it accepts have its options, so none costs a call
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = loop.call_later(SWEEP_INTERVAL, self._sweep)

    @property
    def services(self) -> dict[str, Service]:
        """The services by name."""
        return self.table.services

    def apply(self, services: Sequence[ServiceConfig]) -> None:
        """Replace the table of services. Those that stay keep their state; those that are removed refuse what they hold."""
        self._loop = asyncio.get_running_loop()
        wanted = {config.name: config for config in services}
        for name, service in self.services.items():
            if name not in wanted:
                self._remove(service)
        self.table = ServiceTable({name: self._apply(config) for name, config in wanted.items()})
        self.router = Router(self.table)
        self.budget.max_request_bytes = self.table.max_request_bytes
        self._applied = True

    def set_endpoints(self, name: str, endpoints: Iterable[Endpoint]) -> None:
        """Set the replicas of one service, ready or not. Raises KeyError for an unknown name."""
        self._set_endpoints(self.services[name], list(endpoints))

    def set_notice(self, name: str, text: str | None) -> None:
        """Set why a waiting request waits; shown in heartbeats, errors and /hearth/queue."""
        self.services[name].notice = text

    def subscribe(self, callback: Callable[[str], None]) -> None:
        """Call back with a service's name when its demand leaves or reaches zero, or an activation starts or ends."""
        self._subscribers.append(callback)

    def stats(self, name: str) -> ServiceStats:
        """Return a snapshot of one service."""
        return self.services[name].stats()

    def wake(self, name: str) -> None:
        """Create demand for a backend as a request would."""
        self.services[name].wake()

    def endpoint_in_flight(self, name: str, endpoint_id: str) -> int:
        """Return the number of requests at one replica; 0 when it is unknown."""
        backend = self.services[name].backends.get(endpoint_id)
        return backend.in_flight if backend is not None else 0

    async def endpoint_idle(self, name: str, endpoint_id: str) -> None:
        """Return when no request is at that replica (or it is not known)."""
        backend = self.services[name].backends.get(endpoint_id)
        while backend is not None and backend.in_flight:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            backend.idle.append(waiter)
            await waiter

    def refuse_held(self) -> None:
        """Refuse every request that waits for a backend: none will become ready, the process is about to stop."""
        for service in self.services.values():
            service.refuse_held(STOPPING)

    def give_up(self) -> None:
        """Refuse what is held, and hold nothing from here on: every service was deleted. Responses under way continue."""
        for service in self.services.values():
            service.refuse_held(_removed(service))

    def hold_again(self) -> None:
        """Hold new requests again: the services are back."""
        for service in self.services.values():
            service.hold_again()

    def drain(self) -> None:
        """Stop being ready. New requests are still served; every response from here on is its connection's last."""
        self.draining = self.connector.draining = True
        self.router = Router(self.table)  # with an empty memo of request lines
        self.connections.drain()

    def close_idle(self) -> None:
        """Close every connection that no request is on, and each other one after its response, announced or not."""
        self.closing = True
        self.connections.close_idle()

    @property
    def busy(self) -> bool:
        """Whether any request is being read, held or at a backend, or a response not read to its end."""
        return self.connections.busy

    async def stop(self, grace: float) -> None:
        """Accept no more, give what is held or in flight `grace` seconds to end, then close everything."""
        self.drain()
        self.close_idle()
        if self._server is not None:
            self._server.close()
        await self.connections.settle(grace)
        self.refuse_held()
        await self.connections.stop(STOPPING, FLUSH)
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.connector.stop()
        await self._prober.stop()
        for service in self.services.values():
            service.close()
            empty_pools(service.backends.values())
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.sleep(0)  # aborted transports call connection_lost in the next turn

    @property
    def ready(self) -> bool:
        """Whether new clients should be sent here."""
        return self._applied and self.waits_for is None and not self.draining

    @property
    def starting(self) -> Failure | None:
        """The refusal of requests for a model before the services are loaded; None: they are."""
        return None if self._applied else starting(self.waits_for or UNREAD)

    def pending(self, name: str) -> int:
        """Return what a scaler acts on: the demand of one service, that of the other replicas included."""
        own = self.services[name].demand()
        total = self.total(name) if self.total is not None else None
        return own if total is None else total

    def exposition(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return metrics.render(
            self.services.values(),
            connections=len(self.connections),
            unrouted=self.connections.unrouted,
            total=self.pending if self.total is not None else None,
            collectors=self.collectors,
        )

    def now(self) -> float:
        """Return the event loop's time, in seconds."""
        return self._loop.time()

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back in the event loop's next turn."""
        self._loop.call_soon(callback)

    # ---------------------------------------------------------------- inside

    def _apply(self, config: ServiceConfig) -> Service:
        service = self.services.get(config.name)
        had_static = service is not None and service.config.endpoints
        if service is None:
            service = Service(
                config, self._loop, on_edge=self._edge, on_cold=self._prober.ensure, idle_notice=self.idle_notice
            )
        elif service.config != config:
            service.reconfigure(config)
        if config.endpoints or had_static:
            static = [Endpoint(f"{e.address}:{e.port}", e.address, e.port) for e in config.endpoints]
            self._set_endpoints(service, static)
        return service

    def _remove(self, service: Service) -> None:
        service.refuse_held(_removed(service))
        empty_pools(service.set_endpoints([]))
        service.close()

    def _set_endpoints(self, service: Service, endpoints: list[Endpoint]) -> None:
        empty_pools(service.set_endpoints(endpoints))
        if service.is_waiting():
            self._prober.ensure(service)

    def _edge(self, name: str) -> None:
        for callback in self._subscribers:
            callback(name)

    def _sweep(self) -> None:
        """End what ends by time alone, once a second."""
        self._sweeper = self._loop.call_later(SWEEP_INTERVAL, self._sweep)
        self.connections.sweep(self.now())
        for service in self.services.values():
            sweep_pools(service.backends.values(), SWEEP_INTERVAL)


def _removed(service: Service) -> Failure:
    text = f"The model `{service.name}` was removed while the request waited."
    return Failure(404, "model_not_found", text, param="model")
