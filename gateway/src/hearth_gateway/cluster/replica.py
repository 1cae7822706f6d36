"""The gateway in a cluster: services and backends come from the API server, KEDA and the other replicas ask by gRPC.

What was read stays in use while the API server is away. A gateway says that it is ready when it knows its services, their
backends, and what the other replicas hold: it must not answer 0 for a model that is wanted. From then on nothing but its own end
changes that.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from hearth_gateway.cluster.access import Access
from hearth_gateway.cluster.api_client import ApiClient
from hearth_gateway.cluster.configmap import ConfigMap, Problems, Reader
from hearth_gateway.cluster.endpointslices import EndpointSlice, Slices, endpoints, fallback, peers
from hearth_gateway.cluster.external_scaler import ExternalScaler
from hearth_gateway.cluster.grpc_server import GrpcServer
from hearth_gateway.cluster.metrics import collect
from hearth_gateway.cluster.peers import PeerClient, PeerServer
from hearth_gateway.cluster.reflector import Reflector
from hearth_gateway.errors import ConfigError
from hearth_gateway.gateway import Gateway
from hearth_gateway.listen import ListenAddress
from hearth_gateway.policy.backend import Endpoint
from hearth_gateway.policy.demand import Demand
from hearth_gateway.policy.reports import Reports, Share
from hearth_gateway.policy.service import LEASE_GRACE

log = logging.getLogger("hearth.gateway")

BACKEND_SUFFIX = "-backend"  # of the Service whose EndpointSlices are a service's replicas
BACKEND_PORT = "http"
SCALER_PORT = "scaler"
IDLE_NOTICE = 6.0
"""Seconds that demand outlives the last request: more than KEDA's polling interval.

KEDA remembers when it last saw activity, and looks every 5 s. Demand between two looks would not have been, and a model
that is asked all the time, but not in those moments, would fall asleep.
"""
PEERS_WAIT = 2.0  # seconds that a new replica waits for the others' state before it is ready without
FALLBACK_AFTER = 10.0  # seconds without word of EndpointSlices until the Services' own addresses are used, too
SETTLE = 3.0
"""Seconds that a replica which must go turns nobody away: who was, would come again before load balancers lead elsewhere."""
NAMESPACE_PACE = 5.0  # seconds between two looks at whether the namespace is being deleted
LOST_AFTER = 10.0
"""Seconds without the ConfigMap until it counts as deleted for good.

One that somebody deletes by hand comes back when the operator gets to it: with a thousand services, or when it is restarted
itself, that takes seconds.
"""
STARTING_PACE = 0.05  # seconds between two looks at what is missing still
LEAVING_PACE = 0.02  # seconds between two looks at what is still to be answered
PACE = 1.0


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """What the command line says. ``peers``: the Service of the gateway itself, empty when it has no other replicas."""

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
        self.options = options
        self.reports = Reports(gateway.now)
        self.demand = Demand(self._own, self.reports)
        instance = uuid.uuid4().hex
        self.peer_server = PeerServer(instance, self._state, self._leases)
        self.peer_client = PeerClient(
            options.pod, instance, self.reports, changed=self.demand.changed, inherit=self._inherit
        )
        self.scaler = ExternalScaler(self.demand, self._namespace_of, self._starting)
        self.server = GrpcServer((self.scaler.handler(), self.peer_server.handler()))
        self.slices = Slices()
        self.problems = Problems()
        self._client = ApiClient(options.access)
        path = f"/namespaces/{options.access.namespace}"
        self.config_watch = Reflector(
            self._client,
            resource="configmaps",
            path=f"/api/v1{path}/configmaps",
            kind=ConfigMap,
            sink=_ConfigSink(self),
            query={"fieldSelector": f"metadata.name={options.config_map}"},
        )
        self.slice_watch = Reflector(
            self._client,
            resource="endpointslices",
            path=f"/apis/discovery.k8s.io/v1{path}/endpointslices",
            kind=EndpointSlice,
            sink=_SliceSink(self),
        )
        self._reader = Reader()
        self._given: dict[str, list[Endpoint]] = {}  # what the gateway was told last
        self._data: dict[str, str] | None = None
        self._found = False  # the ConfigMap exists
        self._lost_at: float | None = None  # when it was deleted
        self._namespace_ends = False
        self._falling_back = False
        self._bequest: dict[str, float] = {}  # until when others are to keep a service awake after we are gone
        self._peers_deadline: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        gateway.waits_for = "its services were not read yet"

    # ---------------------------------------------------------------- life

    async def start(self) -> None:
        """Serve gRPC and watch; the gateway itself listens already. Raises ListenError."""
        gateway = self.gateway
        watches = (self.config_watch.state, self.slice_watch.state)
        gateway.collectors.append(partial(collect, self.scaler, self.peer_client, watches, self.problems))
        gateway.total = self.demand.total
        gateway.subscribe(self._on_edge)
        await self.server.start(self.options.scaler_listen)
        for name, work in (
            ("configmaps", self.config_watch.run()),
            ("endpointslices", self.slice_watch.run()),
            ("housekeeping", self._keep_house()),
        ):
            self._tasks.append(asyncio.create_task(work, name=name))

    async def leave(self, grace: float, cut: asyncio.Event) -> None:
        """Let others take over, and answer what is held here: up to ``grace`` seconds, or until ``cut`` is set.

        Demand is reported, backends are watched and probed, and who still comes is served meanwhile. Idle clients and KEDA
        are turned away only when load balancers have had the time to learn of it. But when the services were deleted, or the
        whole namespace, no backend comes any more: who waits is told so, and nobody else will come.

        Kubernetes looks at a namespace that is being deleted after 5 s, and where it still finds pods, again after half of
        their grace period.
        """
        gateway = self.gateway
        gateway.drain()
        looking = asyncio.create_task(self._look_at_namespace())
        begun = gateway.now()
        end = begun + grace
        settled = min(end, begun + self.options.settle)
        while gateway.now() < settled and not (cut.is_set() or self._is_deleted()):
            await asyncio.sleep(LEAVING_PACE)
        gateway.close_idle()
        await self.server.turn(self.scaler.end_streams)
        given_up = False
        while gateway.now() < end and not cut.is_set():
            if self._is_deleted():
                gateway.give_up()
                given_up = True
            elif given_up:
                gateway.hold_again()
                given_up = False
            if not gateway.busy:
                break
            await asyncio.sleep(LEAVING_PACE)
        looking.cancel()
        self._make_will()

    async def _look_at_namespace(self) -> None:
        while not self._namespace_ends:
            self._namespace_ends = await self._client.namespace_ends()
            await asyncio.sleep(NAMESPACE_PACE)

    def _is_deleted(self) -> bool:
        lost = self._lost_at is not None and self.gateway.now() >= self._lost_at + LOST_AFTER
        return lost or self._namespace_ends

    async def stop(self) -> None:
        """Say goodbye and end everything."""
        await self.server.stop(self._end_streams)
        await self.peer_client.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    # ---------------------------------------------------------------- demand

    def _own(self, name: str) -> Share | None:
        service = self.gateway.services.get(name)
        return None if service is None else Share(service.requests, service.wanted())

    def _state(self) -> dict[str, Share]:
        return {
            name: Share(each.requests, wanted=True) for name, each in self.gateway.services.items() if each.wanted()
        }

    def _leases(self) -> dict[str, float]:
        now = self.gateway.now()
        return {name: until - now for name, until in self._bequest.items() if until > now}

    def _make_will(self) -> None:
        """Who was sent away, or is about to be, may come again: to another replica."""
        now = self.gateway.now()
        for name, service in self.gateway.services.items():
            seconds = max(service.lease_left(), LEASE_GRACE if service.held or service.in_flight else 0.0)
            if seconds > 0:
                self._bequest[name] = now + seconds

    def _inherit(self, leases: Mapping[str, float]) -> None:
        """A replica goes that has sent clients away for a while: the models that they are to find awake are ours to keep awake."""
        for name, seconds in leases.items():
            service = self.gateway.services.get(name)
            if service is not None:
                service.take_lease(seconds)

    def _namespace_of(self, name: str) -> str | None:
        service = self.gateway.services.get(name)
        return None if service is None else service.config.namespace

    def _on_edge(self, name: str) -> None:
        self.demand.changed((name,))
        self.peer_server.changed()

    def _end_streams(self) -> None:
        self.scaler.end_streams()
        self.peer_server.end_streams()

    # ---------------------------------------------------------------- readiness

    def _starting(self) -> str | None:
        return self.gateway.waits_for

    def _missing(self) -> str | None:
        """What is to be known before this replica is ready; None: nothing more."""
        config, slices = self.config_watch.state, self.slice_watch.state
        name = self.options.config_map
        if not config.synced:
            return _because(f"the ConfigMap {name} was not read yet", config.last_error)
        if not self._found:
            return f"there is no ConfigMap {name}"
        if self._data is None:
            return _because(f"the ConfigMap {name} cannot be used", *self.problems.current)
        if not slices.synced:
            return None if self._falling_back else _because("no EndpointSlices were read yet", slices.last_error)
        now = self.gateway.now()
        if self._peers_deadline is None:
            self._peers_deadline = now + PEERS_WAIT
        if not self.peer_client.all_heard() and now < self._peers_deadline:
            return "the other replicas have not told yet what they hold"
        return None

    async def _keep_house(self) -> None:
        gateway = self.gateway
        begun = gateway.now()
        while True:
            self.demand.changed(self.reports.expire())
            slices = self.slice_watch.state
            if slices.connected:
                self._fall_back(wanted=False)
            elif gateway.now() > max(begun, slices.fresh_at) + FALLBACK_AFTER:
                self._fall_back(wanted=True)
            if gateway.waits_for is not None:
                gateway.waits_for = self._missing()
                if gateway.waits_for is None:
                    log.info("ready: %d services, %d other replicas", len(gateway.services), self.peer_client.peers)
                    for name in gateway.services:
                        self.scaler.served(name)
            await asyncio.sleep(PACE if gateway.waits_for is None else STARTING_PACE)

    # ---------------------------------------------------------------- what the API server says

    def take_config(self, config_map: ConfigMap) -> None:
        """The ConfigMap is this now. What is wrong with it is said, and changes nothing."""
        if config_map.metadata.name != self.options.config_map:
            return
        self._found, self._lost_at = True, None
        data = dict(config_map.data or {})
        if data == self._data:
            return
        gateway = self.gateway
        before = {name: service.config for name, service in gateway.services.items()}
        try:
            settings = self._reader.read(config_map, before)
        except ConfigError as error:
            self.problems.replace((str(error),))
            return
        self._data = data
        self.problems.replace(settings.problems)
        gateway.apply(settings.services)
        after = gateway.services
        for name in after:
            gateway.set_notice(name, settings.notices.get(name))
        gone = before.keys() - after.keys()
        for name in gone:
            self._given.pop(name, None)
        new = after.keys() - before.keys()
        self.give(new)
        self.demand.changed(gone | new)
        if gone or new:
            log.info("services: %d; new: %s; gone: %s", len(after), _names(new), _names(gone))

    def lose_config(self) -> None:
        """The ConfigMap is gone. Whoever deletes it deletes the gateway too; requests go on until then."""
        self._found = False
        if self._data is not None and self._lost_at is None:
            self._lost_at = self.gateway.now()
            log.warning(
                "the ConfigMap %s is gone; its services are served until this gateway ends", self.options.config_map
            )

    def take_slices(self, services: Iterable[str]) -> None:
        """The EndpointSlices of these Services are other ones now."""
        names = []
        for service in services:
            if service.endswith(BACKEND_SUFFIX):
                names.append(service.removesuffix(BACKEND_SUFFIX))
            if service == self.options.peers:
                others = peers(self.slices.of(service), SCALER_PORT, self.server.port, self.options.pod)
                self.peer_client.follow(others)
        self.give(names)

    def slices_listed(self, objects: Sequence[EndpointSlice]) -> None:
        """These are all EndpointSlices of the namespace."""
        changed = self.slices.replace(objects)
        self._fall_back(wanted=False)
        self.take_slices(changed)

    def _fall_back(self, *, wanted: bool) -> None:
        """Use the Services' own addresses, too, or no longer."""
        if wanted == self._falling_back:
            return
        self._falling_back = wanted
        if wanted:
            log.warning("EndpointSlices cannot be watched: using the addresses of the Services, too, until they can")
        else:
            log.info("EndpointSlices are read again: the addresses of the Services are no longer used")
        self.give(list(self.gateway.services))

    def give(self, names: Iterable[str]) -> None:
        """Tell the gateway the replicas of these services, where they are other ones than before."""
        namespace = self.options.access.namespace
        for name in names:
            if name not in self.gateway.services:
                continue
            service = f"{name}{BACKEND_SUFFIX}"
            found = endpoints(self.slices.of(service), BACKEND_PORT)
            if self._falling_back:  # it is not called ready: it is probed, and used, only while no replica is usable
                found += fallback(service, namespace)
            if found != self._given.get(name, []):
                self._given[name] = found
                self.gateway.set_endpoints(name, found)


class _ConfigSink:
    """The ConfigMap's events."""

    def __init__(self, cluster: Replica) -> None:
        self._cluster = cluster

    def listed(self, objects: Sequence[ConfigMap]) -> None:
        for each in objects:
            self.changed(each)
        if not objects:
            self._cluster.lose_config()

    def changed(self, found: ConfigMap) -> None:
        self._cluster.take_config(found)

    def deleted(self, found: ConfigMap) -> None:
        self._cluster.lose_config()


class _SliceSink:
    """The EndpointSlices' events."""

    def __init__(self, cluster: Replica) -> None:
        self._cluster = cluster

    def listed(self, objects: Sequence[EndpointSlice]) -> None:
        self._cluster.slices_listed(objects)

    def changed(self, found: EndpointSlice) -> None:
        self._cluster.take_slices(self._cluster.slices.put(found))

    def deleted(self, found: EndpointSlice) -> None:
        self._cluster.take_slices(self._cluster.slices.remove(found))


def _because(what: str, *reasons: str) -> str:
    return f"{what}: {'; '.join(reasons)}" if any(reasons) else what


def _names(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "") or "none"
