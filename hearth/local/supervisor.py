"""Supervisor: brings the processes of this machine to what the autoscaler and the allocator decide.

A tick observes everything, decides with pure functions (autoscaler.py, devices.py) and acts on replicas and on
the gateway. A tick runs at once when the gateway reports a demand edge or a replica changes, and every `PERIOD` for
what depends on time alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from hearth.api import format_duration
from hearth.api.errors import HearthError
from hearth.local.autoscaler import Sample, ScalerState, cooldown_left, decide, held_floor, override
from hearth.local.devices import Allocation, Claim, Holding, Pool, allocate
from hearth.local.replica import Replica, Surroundings
from hearth.local.service import Service, expendable
from hearth.local.state import StateDir
from hearth.local.views import ServiceView, Unplanned, notice_of, service_view, unplanned_view
from hearth.local.workload import Workload
from hearth.planning.launch import HOST
from hearth_gateway import Endpoint, Gateway, ServiceConfig, ServiceStats

PERIOD = 0.5
"""Seconds between ticks without events."""


class Supervisor:
    """Supervisor of all services. Await `run()` in the event loop of a started gateway.

    `report(service, text)` gets events for people.
    """

    def __init__(
        self,
        gateway: Gateway,
        state: StateDir,
        environment: Mapping[str, str],
        report: Callable[[str, str], None],
    ) -> None:
        self._gateway = gateway
        self._surroundings = Surroundings(state, environment, set())
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._services: dict[str, Service] = {}
        self._unplanned: dict[str, tuple[Unplanned, float]] = {}
        self._pools: tuple[Pool, ...] = ()
        self._contended: frozenset[str] = frozenset()
        self._wakeup = asyncio.Event()
        self._changed = asyncio.Condition()
        self._leaving: set[asyncio.Task[None]] = set()
        self._stopping = False
        gateway.subscribe(lambda _name: self._wakeup.set())

    # --- interface ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tick until cancelled. Raises the unexpected exception of a replica."""
        while True:
            self._wakeup.clear()
            self.tick()
            async with self._changed:
                self._changed.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD):
                    await self._wakeup.wait()

    async def apply(
        self, workloads: Sequence[Workload], pools: Sequence[Pool], unplanned: Mapping[str, Unplanned] | None = None
    ) -> None:
        """Replace the set of services. Removed ones are drained, changed ones are rolled.

        `unplanned` are services that cannot run, and why; they are only shown.
        """
        now = self._loop.time()
        names = {workload.name for workload in workloads}
        self._pools = tuple(pools)
        since = {name: seen for name, (_, seen) in self._unplanned.items()}
        self._unplanned = {name: (one, since.get(name, now)) for name, one in (unplanned or {}).items()}
        for name, service in self._services.items():
            if name not in names and not service.removed:
                self._report(name, "removed from the manifests")
                for replica in service.staying():
                    self._leave(service, replica)
                service.removed = True
                service.wanted = 0
        await asyncio.sleep(0)  # so that the drains find their endpoints before the gateway forgets them
        self._gateway.apply([workload.gateway for workload in workloads])
        for workload in workloads:
            known = self._services.get(workload.name)
            if known is None:
                self._services[workload.name] = Service(workload, since=now)
                continue
            if known.removed:
                known.removed, known.since, known.scaler = False, now, ScalerState()
            elif known.workload.fingerprint != workload.fingerprint and known.staying():
                self._report(workload.name, "changed; replacing its replicas")
            known.workload = workload
            known.endpoints, known.notice = (), None
        self._wakeup.set()

    async def stop(self) -> None:
        """Drain and stop every replica. `kill` may be called during that."""
        self._stopping = True
        for service in self._services.values():
            service.wanted = 0
            for replica in service.staying():
                self._leave(service, replica)
        while self._leaving:
            await asyncio.wait(self._leaving)

    def kill(self) -> None:
        """Kill every process now."""
        self._stopping = True
        for service in self._services.values():
            for replica in service.replicas.values():
                replica.kill()

    def in_flight(self) -> int:
        """Count the requests in flight of all services."""
        return sum(self._stats(service).in_flight for service in self._services.values() if not service.removed)

    def processes(self) -> int:
        """Count the running engine processes of all services."""
        return sum(
            replica.process is not None for load in self._services.values() for replica in load.replicas.values()
        )

    def scale(self, name: str, replicas: int, duration: float | None) -> str:
        """Set a temporary floor, for `hearth scale`; return what follows. 0 scales to zero as soon as the service is idle.

        `duration` is in seconds. Raises HearthError for an unknown name, and for a number beyond the manifest's bounds.
        """
        service = self._find(name)
        scaling = service.workload.scaling
        if replicas > scaling.max:
            raise HearthError(
                f"{name}: {replicas} replicas exceed spec.scaling.max ({scaling.max})", "raise spec.scaling.max"
            )
        if replicas < scaling.min:
            raise HearthError(
                f"{name}: {replicas} replicas are below spec.scaling.min ({scaling.min})", "lower spec.scaling.min"
            )
        seconds = scaling.cooldown if duration is None else duration
        service.scaler = override(service.scaler, replicas, self._loop.time(), seconds)
        self._wakeup.set()
        if replicas == 0:
            return "will scale to zero once idle"
        return f"keeps at least {replicas} {_replicas(replicas)} for {format_duration(seconds)}"

    def wake(self, name: str) -> None:
        """Demand a replica as a request would, for `hearth wake`. Raises HearthError for an unknown name."""
        self._find(name)
        self._gateway.wake(name)

    async def settled(self, name: str) -> ServiceView:
        """Return the view of a service once it is ready, cannot become ready, or has no more demand.

        Raises HearthError when it is removed.
        """
        while True:
            view = next((view for view in self.views() if view.name == name), None)
            if view is None:
                raise HearthError(f"{name} was removed from the manifests", "add it again")
            if view.phase in ("Ready", "Degraded") or (view.phase == "ScaledToZero" and not self._demand(name)):
                return view
            async with self._changed:
                await self._changed.wait()

    def views(self) -> tuple[ServiceView, ...]:
        """Return the view of every service, by name."""
        now = self._loop.time()
        views = [
            service_view(service, None if service.removed else self._stats(service), now)
            for service in self._services.values()
        ]
        views += [unplanned_view(name, one, now - since) for name, (one, since) in self._unplanned.items()]
        return tuple(sorted(views, key=lambda view: view.name))

    # --- one tick -----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Observe, decide, act. Never waits."""
        now = self._loop.time()
        self._reap()
        if not self._stopping:
            for name, service in self._services.items():
                if not service.removed:
                    self._decide(name, service, now)
                self._shrink(service)
            self._grow(now)
        for name, service in self._services.items():
            self._publish(name, service)

    def _reap(self) -> None:
        for name, service in list(self._services.items()):
            for key, replica in list(service.replicas.items()):
                if replica.gone:
                    failure = replica.failure()
                    if failure is not None:
                        raise failure
                    del service.replicas[key]
                    if not (service.replicas or service.wanted or service.removed or self._stopping):
                        self._report(name, "scaled to zero")
            if service.removed and not service.replicas:
                del self._services[name]

    def _decide(self, name: str, service: Service, now: float) -> None:
        stats = self._stats(service)
        sample = Sample(
            _demand(stats, service.workload.gateway), stats.last_request, service.workload.vendor in self._contended
        )
        decision = decide(service.scaler, sample, service.workload.scaling, now)
        before, service.wanted = service.wanted, decision.replicas
        service.scaler = decision.state
        if before == decision.replicas:
            return
        if before == 0:
            held = f" ({stats.held} {'request' if stats.held == 1 else 'requests'} held)" if stats.held else ""
            self._report(name, f"waking{held}" if sample.demand else f"starting: {decision.reason}")
        elif decision.replicas == 0:
            self._report(name, f"scaling to zero: {decision.reason}")
        else:
            self._report(name, f"scaling {before} -> {decision.replicas}: {decision.reason}")

    def _shrink(self, service: Service) -> None:
        fresh, stale = service.fresh(), service.stale()
        for replica in expendable(fresh, self._load(service))[: max(0, len(fresh) - service.wanted)]:
            self._leave(service, replica)
        serving = sum(replica.ready for replica in fresh)
        keep = max(0, service.wanted - serving)
        for replica in expendable(stale, self._load(service))[: max(0, len(stale) - keep)]:
            self._leave(service, replica)

    def _grow(self, now: float) -> None:
        claims: list[Claim] = []
        for name, service in self._services.items():
            missing = service.wanted - len(service.fresh())
            if missing <= 0:
                service.waiting_since = service.waiting = service.impossible = None
                continue
            if service.waiting_since is None:
                service.waiting_since = now
            cold = not service.staying()
            load = service.workload
            claims += [
                Claim(name, load.vendor, load.devices, service.waiting_since, waking=cold and number == 0)
                for number in range(missing)
            ]
        answer = allocate(self._pools, self._holdings(now), claims, now, self._sleeps_in(now))
        for grant in answer.grants:
            service = self._services[grant.service]
            service.waiting_since = now
            self._start(service, grant.devices)
        for service in self._services.values():
            for replica in service.staying():
                if f"{service.workload.name}/{replica.name}" in answer.releases:
                    self._report(
                        service.workload.name,
                        f"stopping replica {replica.name} to free its devices for another service",
                    )
                    self._leave(service, replica)
        self._explain(answer)
        if answer.contended != self._contended:
            self._contended = answer.contended
            self._wakeup.set()

    def _explain(self, answer: Allocation) -> None:
        for name, service in self._services.items():
            before = service.impossible or service.waiting
            service.waiting = answer.waiting.get(name)
            service.impossible = answer.impossible.get(name)
            after = service.impossible or service.waiting
            if after is not None and before is None:
                self._report(name, f"waiting: {after}")
            stale = service.stale()
            if service.waiting is not None and stale and len(service.staying()) == len(service.replicas):
                # A changed service without free devices: an old replica is stopped to free them for a new one.
                self._leave(service, expendable(stale, self._load(service))[0])

    def _holdings(self, now: float) -> list[Holding]:
        holdings = []
        for name, service in self._services.items():
            scaling = service.workload.scaling
            keep = max(1, scaling.min, held_floor(service.scaler, scaling, now))
            staying = expendable(service.staying(), self._load(service))
            spare = set(map(id, staying[: max(0, len(staying) - keep)]))
            holdings += [
                Holding(
                    service=name,
                    replica=f"{name}/{replica.name}",
                    vendor=replica.workload.vendor,
                    devices=replica.devices,
                    leaving=replica.leaving,
                    spare=id(replica) in spare,
                )
                for replica in service.replicas.values()
            ]
        return holdings

    def _sleeps_in(self, now: float) -> dict[str, float]:
        times = {}
        for name, service in self._services.items():
            idle = not service.removed and self._demand(name) == 0 and service.workload.scaling.min == 0
            left = cooldown_left(service.scaler, service.workload.scaling, now) if idle and service.wanted else None
            if left is not None:
                times[name] = left
        return times

    def _publish(self, name: str, service: Service) -> None:
        if service.removed:
            return
        endpoints = tuple(
            Endpoint(replica.endpoint_id, HOST, replica.port, ready=replica.ready, terminating=replica.leaving)
            for replica in service.replicas.values()
            if replica.endpoint_id is not None and replica.port is not None
        )
        if endpoints != service.endpoints:
            service.endpoints = endpoints
            self._gateway.set_endpoints(name, endpoints)
        notice = notice_of(service)
        if notice != service.notice:
            service.notice = notice
            self._gateway.set_notice(name, notice)

    # --- replicas -----------------------------------------------------------------------------------------------------

    def _start(self, service: Service, devices: tuple[str, ...]) -> None:
        name = service.workload.name
        ordinal = next(
            str(number) for number in range(len(service.replicas) + 1) if str(number) not in service.replicas
        )
        service.replicas[ordinal] = Replica(
            ordinal,
            service.workload,
            devices,
            self._surroundings,
            changed=self._replica_changed,
            report=lambda text: self._report(name, f"replica {ordinal} {text}"),
        )

    def _replica_changed(self) -> None:
        """Publish endpoints to the gateway now; the next tick does the rest."""
        for name, service in self._services.items():
            self._publish(name, service)
        self._wakeup.set()

    def _leave(self, service: Service, replica: Replica) -> None:
        idle: asyncio.Future[None] | None = None
        if replica.endpoint_id is not None and not service.removed:
            waiting = self._gateway.endpoint_idle(service.workload.name, replica.endpoint_id)
            idle = asyncio.ensure_future(waiting)
        replica.leaving = True  # now, so that no second decision of this tick counts it
        task = asyncio.create_task(replica.leave(idle))
        self._leaving.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved; `_reap` raises it

    # --- observing ----------------------------------------------------------------------------------------------------

    def _find(self, name: str) -> Service:
        service = self._services.get(name)
        if service is None or service.removed:
            known = ", ".join(sorted(self._services)) or "none"
            raise HearthError(f"there is no service {name!r}", f"known services: {known}")
        return service

    def _stats(self, service: Service) -> ServiceStats:
        return self._gateway.stats(service.workload.name)

    def _demand(self, name: str) -> int:
        return _demand(self._gateway.stats(name), self._services[name].workload.gateway)

    def _load(self, service: Service) -> Callable[[Replica], int]:
        def load(replica: Replica) -> int:
            if service.removed or replica.endpoint_id is None:
                return 0
            return self._gateway.endpoint_in_flight(service.workload.name, replica.endpoint_id)

        return load


def _demand(stats: ServiceStats, config: ServiceConfig) -> int:
    """Return the demand that the autoscaler acts on.

    The gateway keeps its activation lease for a while after a backend became ready, for pollers such as KEDA. The
    supervisor misses no event, so held requests and a running activation are enough. In reject mode a client has yet to
    retry, and the lease counts in full.
    """
    if config.cold_start.mode == "reject":
        return stats.demand
    return stats.held + stats.in_flight or int(stats.activating)


def _replicas(number: int) -> str:
    return "replica" if number == 1 else "replicas"
