"""One gateway process: many services, one port, one event loop."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from hearth_gateway.config import Limits, ServiceConfig
from hearth_gateway.http import client, local_routes
from hearth_gateway.http.client import Client
from hearth_gateway.http.keepalive import keep_alive
from hearth_gateway.http.routes import ROUTES, Route, find_route
from hearth_gateway.http.upstream import CONNECT_TIMEOUT, POOL_IDLE, Upstream
from hearth_gateway.policy.backend import Backend, Endpoint
from hearth_gateway.policy.failure import Failure
from hearth_gateway.policy.probe import Prober
from hearth_gateway.policy.service import Service, ServiceStats

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger("hearth.gateway")

SWEEP_INTERVAL = 1.0
STOPPING = Failure(503, "stopping", "The gateway stops. Retry later.", retry_after=5)
FLUSH = 1.0  # seconds that a stop gives clients to read the last error
LINGER = 5.0  # seconds that a refused sender may go on sending until the connection is cut
BACKLOG = 4096
_MEMO = 4096  # entries
_MEMO_BYTES = 256  # of a key: what strangers send must not fill the memory

Resolved = tuple[Route | None, Service | None, bytes | None]


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Bounds on what a stranger can send, per process. Bytes and seconds."""

    max_connections: int = 10_000
    max_head_bytes: int = 32 * 1024
    max_buffered_bytes: int = 512 * 1024 * 1024  # of bodies being read, and of large requests until their answer begins
    head_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0  # and a second more for every KiB that came
    idle_timeout_seconds: float = 75.0


class Gateway:
    """Policy and wire together. Create it anywhere, use it inside one running event loop."""

    def __init__(self, limits: GatewayLimits | None = None) -> None:
        self.limits = limits or GatewayLimits()
        self.services: dict[str, Service] = {}
        self.by_model: dict[str, Service] = {}
        self.connections: set[Client] = set()
        self.unrouted: dict[str, int] = {}
        self.max_request_bytes = Limits().max_request_bytes
        self.draining = False
        self.closing = False  # no connection stays open after its answer
        self.started_at = int(time.time())
        self.port = 0
        self.waits_for: str | None = None  # what a source of services owes still before new clients should come
        self.total: Callable[[str], int | None] | None = None  # demand over all replicas of this gateway
        self.idle_notice: float | None = None  # of services that come from here on; see Service
        self.collectors: list[Callable[[], Iterable[Metric]]] = []  # of those who add to /metrics
        self._applied = False
        self._hosts: dict[str, Service] = {}
        self.host_memo: dict[bytes | None, Service | None] = {None: None}
        self.lines: dict[bytes, tuple[Route, Service | None]] = {}
        self._targets: dict[bytes, Resolved] = {}
        self._subscribers: list[Callable[[str], None]] = []
        self._prober = Prober()
        self._loop: asyncio.AbstractEventLoop
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._buffered = 0

    # ---------------------------------------------------------------- for those who embed it

    async def start(self, host: str, port: int) -> None:
        """Listen. ``port`` 0 takes a free one, see ``self.port``; an empty ``host`` is every address, IPv4 and IPv6.

        Raises OSError when the address is taken or not ours.
        """
        loop = self._attach()
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

    def apply(self, services: Sequence[ServiceConfig]) -> None:
        """Replace the table of services. Those that stay keep their state; those that go refuse what they hold."""
        loop = self._attach()
        wanted = {config.name: config for config in services}
        for name in [name for name in self.services if name not in wanted]:
            self._remove(self.services.pop(name))
        table: dict[str, Service] = {}
        for name, config in wanted.items():
            service = self.services.get(name)
            had_static = service is not None and service.config.endpoints
            if service is None:
                service = Service(
                    config, loop, on_edge=self._edge, on_cold=self._prober.ensure, idle_notice=self.idle_notice
                )
            elif service.config != config:
                service.reconfigure(config)
            table[name] = service
            if config.endpoints or had_static:
                static = [Endpoint(f"{e.address}:{e.port}", e.address, e.port) for e in config.endpoints]
                self._take_endpoints(service, static)
        self.services = table
        self._index()
        self._applied = True

    def set_endpoints(self, name: str, endpoints: Iterable[Endpoint]) -> None:
        """The replicas of one service, ready or not. Unknown names raise KeyError."""
        self._take_endpoints(self.services[name], list(endpoints))

    def set_notice(self, name: str, text: str | None) -> None:
        """Why a waiting request waits; shown in heartbeats, errors and /hearth/queue."""
        self.services[name].notice = text

    def subscribe(self, callback: Callable[[str], None]) -> None:
        """Call back with a service's name when its demand leaves or reaches zero, or an activation starts or ends."""
        self._subscribers.append(callback)

    def stats(self, name: str) -> ServiceStats:
        """A snapshot of one service."""
        return self.services[name].stats()

    def wake(self, name: str) -> None:
        """Want a backend as a request would."""
        self.services[name].wake()

    def endpoint_in_flight(self, name: str, endpoint_id: str) -> int:
        """Requests at one replica; 0 when it is unknown."""
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
        """Answer every request that waits for a backend now: none will come, the process is about to stop."""
        for service in self.services.values():
            service.refuse_held(STOPPING)

    def give_up(self) -> None:
        """Every service was deleted: nobody is held from here on, and who waits is told. Answers under way go on."""
        for service in self.services.values():
            service.refuse_held(_removed(service))

    def hold_again(self) -> None:
        """The services are back: who comes from here on is held again."""
        for service in self.services.values():
            service.hold_again()

    def drain(self) -> None:
        """Be ready no more. Who still comes is served; every answer that begins from here on is its connection's last."""
        self.draining = True
        self.lines = {}
        for connection in self.connections:
            connection.drain()

    def close_idle(self) -> None:
        """Close every connection that no request is on, and each other one after its answer, whether that says so or not."""
        self.closing = True
        for connection in list(self.connections):
            connection.close_idle()

    @property
    def busy(self) -> bool:
        """Whether a request is on its way here, held, or at a backend, or an answer not read to its end."""
        return any(each.state != client.IDLE and _is_busy(each) for each in self.connections)

    async def stop(self, grace: float) -> None:
        """Accept no more, give what is held or in flight ``grace`` seconds to end, then close everything."""
        self.drain()
        self.close_idle()
        if self._server is not None:
            self._server.close()
        deadline = self.now() + grace
        while any(map(_is_busy, self.connections)) and self.now() < deadline:
            await asyncio.sleep(0.02)
        self.refuse_held()
        for connection in list(self.connections):
            connection.stop(STOPPING)
        deadline = self.now() + FLUSH
        while any(each.transport.get_write_buffer_size() for each in self.connections) and self.now() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.transport.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        await self._prober.stop()
        for service in self.services.values():
            service.close()
            for backend in service.backends.values():
                _empty_pool(backend)
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.sleep(0)  # aborted transports tell their protocols in the next turn

    @property
    def ready(self) -> bool:
        """Whether new clients should be sent here."""
        return self._applied and self.waits_for is None and not self.draining

    @property
    def starting(self) -> Failure | None:
        """The answer to who asks for a model before it is known which there are; None: that is known."""
        return None if self._applied else local_routes.starting(self.waits_for or local_routes.UNREAD)

    def pending(self, name: str) -> int:
        """What a scaler acts on: the demand of one service, that of the other replicas included."""
        own = self.services[name].demand()
        total = self.total(name) if self.total is not None else None
        return own if total is None else total

    # ---------------------------------------------------------------- for the wire

    def now(self) -> float:
        """The event loop's clock, seconds."""
        return self._loop.time()

    def soon(self, callback: Callable[[], None]) -> None:
        """Run it in the event loop's next turn."""
        self._loop.call_soon(callback)

    def joined(self, connection: Client) -> None:
        """A client connected."""
        self.connections.add(connection)
        if len(self.connections) > self.limits.max_connections:
            text = f"The gateway has {self.limits.max_connections} connections open, its limit. Retry later."
            connection.turn_away(Failure(503, "too_many_connections", text, retry_after=1))

    def left(self, connection: Client) -> None:
        """A client is gone."""
        self.connections.discard(connection)

    def linger(self, connection: Client) -> None:
        """Close a connection whose client may still be sending, after it had a chance to read why."""
        self._loop.call_later(LINGER, connection.transport.abort)
        if connection.transport.can_write_eof():
            connection.transport.write_eof()

    def count(self, service: Service, status: int) -> None:
        """A request ended with this status."""
        codes = service.counters.codes
        codes[status] = codes.get(status, 0) + 1

    def count_unrouted(self, failure: Failure) -> None:
        """A request was refused before a service was found."""
        self.unrouted[failure.reason] = self.unrouted.get(failure.reason, 0) + 1

    def take_budget(self, size: int) -> bool:
        """Reserve memory for a request (negative: give back). False when there is none left."""
        if size > 0 and self._buffered + size > self.limits.max_buffered_bytes:
            return False
        self._buffered += size
        return True

    def resolve(self, target: bytes) -> Resolved:
        """Route, pinned service and rewritten target of a request target; no route: there is no such path."""
        known = self._targets.get(target)
        if known is not None:
            return known
        found = self._resolve(target)
        if found[0] is not None and len(self._targets) < _MEMO and len(target) <= _MEMO_BYTES and b"?" not in target:
            self._targets[target] = found
        return found

    def _resolve(self, target: bytes) -> Resolved:
        absolute = target.startswith((b"http://", b"HTTP://"))
        whole = b"/" + target[7:].partition(b"/")[2] if absolute else target
        path, mark, query = whole.partition(b"?")
        route = find_route(path)
        if route is not None:
            return route, None, whole if absolute else None
        first, slash, rest = path[1:].partition(b"/")
        name = unquote_to_bytes(first).decode(errors="replace")
        service = self.by_model.get(name)
        if not slash or service is None:
            return None, None, None
        return find_route(b"/" + rest), service, b"/" + rest + mark + query

    def remember_line(self, line: bytes, route: Route, service: Service | None) -> None:
        """The outcome of a request line that leads to inference without rewriting."""
        if len(self.lines) < _MEMO and len(line) <= _MEMO_BYTES:
            self.lines[line] = route, service

    def pinned(self, host: bytes | None) -> Service | None:
        """The service that a Host header names, if it does."""
        if host is None or host in self.host_memo:
            return self.host_memo[host]
        name = host.decode(errors="replace").strip()
        if not name.startswith("["):
            name = name.partition(":")[0]
        service = self._hosts.get(name)
        if service is None and ".svc." in name:
            service = self._hosts.get(name[: name.index(".svc.") + 4])
        if len(self.host_memo) < _MEMO and len(host) <= _MEMO_BYTES:
            self.host_memo[host] = service
        return service

    def answer(self, path: bytes, service: Service | None, target: bytes) -> local_routes.Answer | Failure:
        """The answer to a route that is served here."""
        return local_routes.answer(self, path, service, target)

    def connect(self, connection: Client, backend: Backend) -> None:
        """Open a connection for a request; the outcome is told to ``connection`` if it still waits for it."""
        task = self._loop.create_task(self._connect(connection, backend, connection.serial))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: Client, backend: Backend, serial: int) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, upstream = await self._loop.create_connection(
                    lambda: Upstream(backend), backend.address, backend.port
                )
        except (OSError, TimeoutError) as error:
            if connection.waits_for(backend, serial):
                exhausted = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS)
                why = f"{backend.address}:{backend.port}: {str(error) or 'no answer within 5 s'}"
                connection.connect_failed(backend, why, exhausted=exhausted)
            return
        if connection.waits_for(backend, serial):
            connection.connected(upstream)
        elif upstream.closed or backend.removed or self.draining:
            upstream.abort()
        else:
            upstream.idle_sweeps = 0
            backend.pool.append(upstream)

    # ---------------------------------------------------------------- inside

    def _attach(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _edge(self, name: str) -> None:
        for callback in self._subscribers:
            callback(name)

    def _take_endpoints(self, service: Service, endpoints: list[Endpoint]) -> None:
        for backend in service.set_endpoints(endpoints):
            _empty_pool(backend)
        if service.is_waiting():
            self._prober.ensure(service)

    def _remove(self, service: Service) -> None:
        service.refuse_held(_removed(service))
        for backend in service.set_endpoints([]):
            _empty_pool(backend)
        service.close()

    def _index(self) -> None:
        self.by_model = {
            name: service
            for service in self.services.values()
            for name in (service.config.name, *service.config.aliases)
        }
        self._hosts = {}
        for service in self.services.values():
            name, namespace = service.config.name.lower(), service.config.namespace.lower()
            for host in (name, f"{name}.{namespace}", f"{name}.{namespace}.svc", *map(str.lower, service.config.hosts)):
                self._hosts[host] = service
        # A body is read before its model is known: the most generous service bounds them all until then.
        limits = [service.config.limits.max_request_bytes for service in self.services.values()]
        self.max_request_bytes = max(limits, default=Limits().max_request_bytes)
        self.host_memo = {None: None}
        self.lines = {}
        self._targets = {path: (route, None, None) for path, route in ROUTES.items()}

    def _sweep(self) -> None:
        """Once a second: everything that ends by time alone."""
        now = self.now()
        self._sweeper = self._loop.call_later(SWEEP_INTERVAL, self._sweep)
        for connection in list(self.connections):
            self._sweep_connection(connection, now)
        for service in self.services.values():
            for backend in service.backends.values():
                for upstream in list(backend.pool):
                    upstream.idle_sweeps += 1
                    if upstream.idle_sweeps * SWEEP_INTERVAL >= POOL_IDLE:
                        backend.pool.remove(upstream)
                        upstream.abort()

    def _sweep_connection(self, connection: Client, now: float) -> None:
        state = connection.state
        age = now - connection.since
        if state in (client.HEAD, client.BODY):
            allowed = connection.read_seconds_allowed()
            if age > allowed:
                connection.read_timed_out(allowed)
        elif state == client.IDLE:
            if connection.seen_serial != connection.serial:
                connection.seen_serial = connection.serial
                connection.since = now
            elif age > self.limits.idle_timeout_seconds:
                connection.transport.abort()  # close would wait for a client that does not read
        elif state in (client.SENT, client.ANSWERING) and connection.service is not None:
            upstream = connection.upstream
            timeouts = connection.service.config.timeouts
            if upstream is not None and upstream.last is not connection.seen:
                connection.seen = upstream.last
                if upstream.last:
                    connection.drop_payload()
                connection.since = now
            elif age > (limit := timeouts.first_byte_seconds if state == client.SENT else timeouts.idle_seconds):
                connection.timed_out(limit)
        elif state in (client.RESUMING, client.CLOSED) and age > self.limits.idle_timeout_seconds:
            connection.transport.abort()  # it does not read what it was sent


def _removed(service: Service) -> Failure:
    text = f"The model `{service.name}` was removed while the request waited."
    return Failure(404, "model_not_found", text, param="model")


def _is_busy(connection: Client) -> bool:
    """Whether a stop should wait for it: a request is on its way, or an answer is not read to its end."""
    return connection.state != client.CLOSED or connection.transport.get_write_buffer_size() > 0


def _empty_pool(backend: Backend) -> None:
    for upstream in list(backend.pool):
        upstream.abort()
    backend.pool.clear()


def open_everywhere(port: int) -> socket.socket:
    """A socket on every address of this machine, IPv4 and IPv6. Raises OSError."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=BACKLOG)


def raise_file_limit() -> None:
    """Every held request is an open file: use what the system allows without asking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


__all__ = ["Gateway", "GatewayLimits"]
