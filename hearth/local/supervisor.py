"""The supervisor: brings the processes of this machine to what the scaler and the allocator decide.

One tick looks at everything, decides with pure functions (autoscaler.py, devices.py) and acts on replicas and on
the gateway. A tick runs at once when the gateway reports a demand edge or a replica changes, and every `PERIOD` for
what only time changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from hearth.api.errors import HearthError
from hearth.local.autoscaler import Sample, ScalerState, cooldown_left, decide, held_floor, override
from hearth.local.devices import Allocation, Claim, Holding, Pool, allocate
from hearth.local.replica import Replica, Surroundings
from hearth.local.service import Service, expendable
from hearth.local.state import StateDir
from hearth.local.views import ServiceView, notice_of, service_view, unplanned_view
from hearth.local.workload import Workload
from hearth.planning.launch import HOST
from hearth_gateway import Endpoint, Gateway, ServiceConfig, ServiceStats

PERIOD = 0.5
"""Seconds between ticks when nothing happens."""


class Supervisor:
    """Run `run()` in the event loop of a started gateway. `tell(service, text)` gets what a person may want to read."""

    def __init__(
        self,
        gateway: Gateway,
        state: StateDir,
        environment: Mapping[str, str],
        tell: Callable[[str, str], None],
    ) -> None:
        self._gateway = gateway
        self._surroundings = Surroundings(state, environment, set())
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._services: dict[str, Service] = {}
        self._unplanned: dict[str, tuple[str, float]] = {}
        self._pools: tuple[Pool, ...] = ()
        self._contended: frozenset[str] = frozenset()
        self._wakeup = asyncio.Event()
        self._changed = asyncio.Condition()
        self._leaving: set[asyncio.Task[None]] = set()
        self._stopping = False
        gateway.subscribe(lambda _name: self._wakeup.set())

    # --- for those who run it -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tick until cancelled. Raises what no replica foresaw."""
        while True:
            self._wakeup.clear()
            self.tick()
            async with self._changed:
                self._changed.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD):
                    await self._wakeup.wait()

    async def apply(
        self, workloads: Sequence[Workload], pools: Sequence[Pool], unplanned: Mapping[str, str] | None = None
    ) -> None:
        """Take over a new set of services. Those that go are drained, those that changed are rolled.

        `unplanned` are services that cannot run, and why; they are shown and nothing else.
        """
        now = self._loop.time()
        names = {workload.name for workload in workloads}
        self._pools = tuple(pools)
        self._unplanned = {
            name: (why, self._unplanned.get(name, ("", now))[1]) for name, why in (unplanned or {}).items()
        }
        for name, service in self._services.items():
            if name not in names and not service.removed:
                self._tell(name, "removed")
                for replica in service.staying():
                    self._leave(service, replica)
                service.removed = True
                service.wanted = 0
        await asyncio.sleep(0)  # so that the drains have found their endpoints before the gateway forgets them
        self._gateway.apply([workload.gateway for workload in workloads])
        for workload in workloads:
            known = self._services.get(workload.name)
            if known is None:
                self._services[workload.name] = Service(workload, since=now)
                continue
            if known.removed:
                known.removed, known.since, known.scaler = False, now, ScalerState()
            elif known.workload.fingerprint != workload.fingerprint and known.staying():
                self._tell(workload.name, "changed; new replicas take over")
            known.workload = workload
            known.endpoints, known.notice = (), None
        self._wakeup.set()

    async def stop(self) -> None:
        """Drain everything and end it. `kill` may be called meanwhile."""
        self._stopping = True
        for service in self._services.values():
            service.wanted = 0
            for replica in service.staying():
                self._leave(service, replica)
        while self._leaving:
            await asyncio.wait(self._leaving)

    def kill(self) -> None:
        """End every process now."""
        self._stopping = True
        for service in self._services.values():
            for replica in service.replicas.values():
                replica.kill()

    def in_flight(self) -> int:
        """Requests that backends work on, of all services."""
        return sum(self._stats(service).in_flight for service in self._services.values() if not service.removed)

    def processes(self) -> int:
        """Engine processes that run, of all services."""
        return sum(
            replica.process is not None for load in self._services.values() for replica in load.replicas.values()
        )

    def scale(self, name: str, replicas: int, duration: float | None) -> str:
        """`hearth scale`: a temporary floor; 0 puts the service to sleep as soon as it has no request.

        Raises HearthError for an unknown name and for a number outside of what the manifest allows.
        """
        service = self._find(name)
        scaling = service.workload.scaling
        if replicas > scaling.max:
            raise HearthError(f"{name}: {replicas} replicas are more than spec.scaling.max: {scaling.max}", "raise max")
        if replicas < scaling.min:
            raise HearthError(
                f"{name}: {replicas} replicas are fewer than spec.scaling.min: {scaling.min}", "lower min"
            )
        seconds = scaling.cooldown if duration is None else duration
        service.scaler = override(service.scaler, replicas, self._loop.time(), seconds)
        self._wakeup.set()
        if replicas == 0:
            return "goes to zero as soon as it has no request"
        return f"has at least {replicas} {_replicas(replicas)} for {seconds:g} s"

    def wake(self, name: str) -> None:
        """`hearth wake`: want a replica as a request would. Raises HearthError for an unknown name."""
        self._find(name)
        self._gateway.wake(name)

    async def settled(self, name: str) -> ServiceView:
        """Return when a service is ready, cannot become so, or does not try any more."""
        while True:
            view = next((view for view in self.views() if view.name == name), None)
            if view is None:
                raise HearthError(f"{name} was removed", "")
            if view.phase in ("Ready", "Degraded") or (view.phase == "ScaledToZero" and not self._demand(name)):
                return view
            async with self._changed:
                await self._changed.wait()

    def views(self) -> tuple[ServiceView, ...]:
        """Every service, by name."""
        now = self._loop.time()
        views = [
            service_view(service, None if service.removed else self._stats(service), now)
            for service in self._services.values()
        ]
        views += [unplanned_view(name, why, now - since) for name, (why, since) in self._unplanned.items()]
        return tuple(sorted(views, key=lambda view: view.name))

    # --- one tick -----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look, decide, act. Never waits."""
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
                        self._tell(name, "asleep")
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
            self._tell(name, f"waking{held}" if sample.demand else f"starting: {decision.reason}")
        elif decision.replicas == 0:
            self._tell(name, f"going to sleep: {decision.reason}")
        else:
            self._tell(name, f"scaling {before} -> {decision.replicas}: {decision.reason}")

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
                    self._tell(service.workload.name, f"replica {replica.name} makes room for another service")
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
                self._tell(name, f"waiting: {after}")
            stale = service.stale()
            if service.waiting is not None and stale and len(service.staying()) == len(service.replicas):
                # A changed service on full devices: an old replica makes room for the new one.
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
            tell=lambda text: self._tell(name, f"replica {ordinal} {text}"),
        )

    def _replica_changed(self) -> None:
        """Something moved: endpoints go to the gateway now, the rest is the next tick's."""
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
            task.exception()  # seen; `_reap` raises it

    # --- looking ------------------------------------------------------------------------------------------------------

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
    """What the scaler acts on.

    The gateway keeps its activation lease for a while after a backend became ready, for pollers that look every few
    seconds. The supervisor misses nothing, so a held request or a running activation is enough; but a client that was
    refused in reject mode is still to come back, and for it the lease counts in full.
    """
    if config.cold_start.mode == "reject":
        return stats.demand
    return stats.held + stats.in_flight or int(stats.activating)


def _replicas(number: int) -> str:
    return "replica" if number == 1 else "replicas"
