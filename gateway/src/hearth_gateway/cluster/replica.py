"""The gateway in a cluster: services and backends come from the API server, KEDA and the other replicas call by gRPC.

What was read stays in use while the API server is away. A gateway is ready when it knows its services, their backends, and
the demand of the other replicas: it must not answer 0 for a model that is wanted. From then on, only its own end changes that.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from hearth_gateway.cluster.access import Access
from hearth_gateway.cluster.api_client import ApiClient
from hearth_gateway.cluster.backend_sync import BackendSync
from hearth_gateway.cluster.configmap import ConfigMap
from hearth_gateway.cluster.contract import KEDA_POLLING_INTERVAL, SCALER_PORT
from hearth_gateway.cluster.endpointslices import EndpointSlice, peers
from hearth_gateway.cluster.external_scaler import ExternalScaler
from hearth_gateway.cluster.grpc_server import GrpcServer
from hearth_gateway.cluster.handover import SETTLE, HandOver, Leases
from hearth_gateway.cluster.metrics import collect
from hearth_gateway.cluster.peers import PeerClient, PeerServer
from hearth_gateway.cluster.reflector import Reflector
from hearth_gateway.cluster.service_sync import ServiceSync
from hearth_gateway.gateway import Gateway
from hearth_gateway.listen import ListenAddress
from hearth_gateway.policy.demand import Demand
from hearth_gateway.policy.reports import Reports, Share

log = logging.getLogger("hearth.gateway")

IDLE_NOTICE = KEDA_POLLING_INTERVAL + 1.0
"""Seconds that demand outlives the last request.

KEDA remembers when it last saw activity. Demand between two polls would not have been, and a model that is used all the
time, but not in those moments, would be scaled to zero.
"""

PEERS_WAIT = 2.0
"""Seconds that a new replica waits for the others' demand until it is ready without."""

FALLBACK_AFTER = 10.0
"""Seconds without a watch of EndpointSlices until the Services' own addresses are used, too."""

STARTING_INTERVAL = 0.05
"""Seconds between two looks at what a replica that starts still lacks."""

INTERVAL = 1.0
"""Seconds between two looks at what is due."""


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """The options of the command line. `peers` is the Service of the gateway itself, empty when it has one replica only."""

    config_map: str
    access: Access
    scaler_listen: ListenAddress
    peers: str = ""
    pod: str = ""
    settle: float = SETTLE


class Replica:
    """Everything around one Gateway object that makes it a replica in a cluster."""

    def __init__(self, gateway: Gateway, options: ReplicaOptions) -> None:
        self.gateway = gateway
        gateway.idle_notice = IDLE_NOTICE
        gateway.waits_for = "its services are not loaded yet"
        self.options = options
        self.reports = Reports(gateway.now)
        self.demand = Demand(self._own_share, self.reports)
        leases = Leases(gateway)
        instance = uuid.uuid4().hex
        self.peer_server = PeerServer(instance, self._wanted_shares, leases.handed_over)
        self.peer_client = PeerClient(
            options.pod, instance, self.reports, changed=self.demand.changed, take_over=leases.take_over
        )
        self.scaler = ExternalScaler(self.demand, self._namespace_of, self._starting)
        self.server = GrpcServer((self.scaler.handler(), self.peer_server.handler()))
        self.services = ServiceSync(gateway, options.config_map, self._services_changed)
        self.backends = BackendSync(gateway, options.access.namespace, self._slices_changed)
        self._client = ApiClient(options.access)
        self.config_watch, self.slice_watch = self._reflectors()
        self._hand_over = HandOver(
            gateway,
            self._client,
            leases,
            turn=partial(self.server.turn, self.scaler.end_streams),
            services_deleted=self.services.is_deleted,
            settle=options.settle,
        )
        self._peers_deadline: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def _reflectors(self) -> tuple[Reflector[ConfigMap], Reflector[EndpointSlice]]:
        path = f"/namespaces/{self.options.access.namespace}"
        config_maps = Reflector(
            self._client,
            resource="configmaps",
            path=f"/api/v1{path}/configmaps",
            kind=ConfigMap,
            sink=self.services,
            query={"fieldSelector": f"metadata.name={self.options.config_map}"},
        )
        slices = Reflector(
            self._client,
            resource="endpointslices",
            path=f"/apis/discovery.k8s.io/v1{path}/endpointslices",
            kind=EndpointSlice,
            sink=self.backends,
        )
        return config_maps, slices

    # ---------------------------------------------------------------- life

    async def start(self) -> None:
        """Serve gRPC and watch; the gateway itself listens already. Raises ListenError."""
        watches = (self.config_watch.state, self.slice_watch.state)
        self.gateway.collectors.append(partial(collect, self.scaler, self.peer_client, watches, self.services.problems))
        self.gateway.total = self.demand.total
        self.gateway.subscribe(self._on_edge)
        await self.server.start(self.options.scaler_listen)
        for name, work in (
            ("configmaps", self.config_watch.run()),
            ("endpointslices", self.slice_watch.run()),
            ("housekeeping", self._keep_house()),
        ):
            self._tasks.append(asyncio.create_task(work, name=name))

    async def leave(self, grace: float, cut: asyncio.Event) -> None:
        """Let the other replicas take over, and answer what is held here: up to `grace` seconds, or until `cut` is set."""
        await self._hand_over.run(grace, cut)

    async def stop(self) -> None:
        """Send the goodbye to the other replicas, and stop everything."""
        await self.server.stop(self._end_streams)
        await self.peer_client.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    def _end_streams(self) -> None:
        self.scaler.end_streams()
        self.peer_server.end_streams()

    # ---------------------------------------------------------------- demand

    def _own_share(self, name: str) -> Share | None:
        service = self.gateway.services.get(name)
        return None if service is None else Share(service.requests, service.wanted())

    def _wanted_shares(self) -> dict[str, Share]:
        services = self.gateway.services.items()
        return {name: Share(each.requests, wanted=True) for name, each in services if each.wanted()}

    def _namespace_of(self, name: str) -> str | None:
        service = self.gateway.services.get(name)
        return None if service is None else service.config.namespace

    def _on_edge(self, name: str) -> None:
        self.demand.changed((name,))
        self.peer_server.changed()

    # ---------------------------------------------------------------- changes that the API server reports

    def _services_changed(self, new: set[str], gone: set[str]) -> None:
        self.backends.forget(gone)
        self.backends.update(new)
        self.demand.changed(gone | new)

    def _slices_changed(self, service: str, slices: Iterable[EndpointSlice]) -> None:
        if service == self.options.peers:
            self.peer_client.follow(peers(slices, SCALER_PORT, self.server.port, self.options.pod))

    # ---------------------------------------------------------------- readiness

    def _starting(self) -> str | None:
        return self.gateway.waits_for

    def _missing(self) -> str | None:
        """Return what this replica must know before it is ready, or None when it knows everything."""
        config, slices = self.config_watch.state, self.slice_watch.state
        if not config.synced:
            return _because(f"the ConfigMap {self.options.config_map} has not been read yet", config.last_error)
        missing = self.services.missing()
        if missing is not None:
            return missing
        if not slices.synced:
            what = "the EndpointSlices have not been read yet"
            return None if self.backends.falling_back else _because(what, slices.last_error)
        now = self.gateway.now()
        if self._peers_deadline is None:
            self._peers_deadline = now + PEERS_WAIT
        if not self.peer_client.all_reported() and now < self._peers_deadline:
            return "waiting for demand reports from the other gateway replicas"
        return None

    async def _keep_house(self) -> None:
        begun = self.gateway.now()
        while True:
            self.demand.changed(self.reports.expire())
            self._fall_back(begun)
            if self.gateway.waits_for is not None:
                self._check_readiness()
            await asyncio.sleep(INTERVAL if self.gateway.waits_for is None else STARTING_INTERVAL)

    def _fall_back(self, begun: float) -> None:
        slices = self.slice_watch.state
        if slices.connected:
            self.backends.fall_back(wanted=False)
        elif self.gateway.now() > max(begun, slices.fresh_at) + FALLBACK_AFTER:
            self.backends.fall_back(wanted=True)

    def _check_readiness(self) -> None:
        self.gateway.waits_for = self._missing()
        if self.gateway.waits_for is None:
            log.info("Ready: %d services, %d other replicas", len(self.gateway.services), self.peer_client.peers)
            for name in self.gateway.services:
                self.scaler.served(name)


def _because(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
