"""Views: the services and replicas of a `hearth up` as `hearth get` and the live table show them."""

from __future__ import annotations

from dataclasses import dataclass

from hearth.api import ManifestError
from hearth.api.phase import Phase
from hearth.local.phase import ReplicaState, phase_of
from hearth.local.replica import Replica
from hearth.local.service import Service
from hearth_gateway import ServiceStats


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """One replica as `hearth get -o json` prints it."""

    name: str
    state: str
    pid: int | None
    port: int | None
    devices: tuple[str, ...]
    restarts: int
    reason: str


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service as `hearth get` prints it. `age` is the number of seconds since the supervisor learned of it."""

    name: str
    namespace: str
    phase: Phase
    reason: str
    runtime: str
    ready: int
    wanted: int
    held: int
    in_flight: int
    age: float
    replicas: tuple[ReplicaView, ...] = ()


@dataclass(frozen=True, slots=True)
class Unplanned:
    """A service that cannot run on this machine, and why."""

    namespace: str
    error: ManifestError


def service_view(service: Service, stats: ServiceStats | None, now: float) -> ServiceView:
    """Return the view of a service; `stats` are the gateway's, None for one that the gateway no longer serves."""
    states = [replica_state(replica, now) for replica in service.replicas.values()]
    phase, reason = phase_of(service.wanted, states, waiting=service.waiting, impossible=service.impossible)
    return ServiceView(
        name=service.workload.name,
        namespace=service.workload.gateway.namespace,
        phase=phase,
        reason=reason,
        runtime=service.workload.runtime,
        ready=sum(state.ready and not state.leaving for state in states),
        wanted=service.wanted,
        held=stats.held if stats else 0,
        in_flight=stats.in_flight if stats else 0,
        age=round(now - service.since, 3),
        replicas=tuple(map(_replica_view, service.replicas.values(), states)),
    )


def unplanned_view(name: str, unplanned: Unplanned, age: float) -> ServiceView:
    """Return the view of a service which this machine cannot run; `age` is in seconds."""
    return ServiceView(
        name=name,
        namespace=unplanned.namespace,
        phase="Degraded",
        reason=str(unplanned.error),
        runtime="",
        ready=0,
        wanted=0,
        held=0,
        in_flight=0,
        age=round(age, 3),
    )


def replica_state(replica: Replica, now: float) -> ReplicaState:
    """Return what a replica's phase follows from; `now` is in the loop's seconds."""
    return ReplicaState(
        name=replica.name,
        ready=replica.ready,
        leaving=replica.leaving,
        running=replica.process is not None,
        crash_loop=replica.failures.is_loop,
        cause=replica.cause,
        retry_in=replica.retry_at - now if replica.retry_at is not None else None,
        running_for=now - replica.started_at if replica.process is not None else 0.0,
    )


def notice_of(service: Service) -> str | None:
    """Return what the gateway tells clients that wait, or None.

    Never the engine's own words: those belong to the owner of the machine.
    """
    if service.impossible or service.waiting:
        return service.impossible or service.waiting
    staying = service.staying()
    if staying and all(replica.failures.is_loop and not replica.ready for replica in staying):
        return "the backend keeps crashing; `hearth get -o wide` and `hearth logs` say why"
    return None


def _replica_view(replica: Replica, state: ReplicaState) -> ReplicaView:
    return ReplicaView(
        name=replica.name,
        state=_word(state),
        pid=replica.process.pid if replica.process else None,
        port=replica.port,
        devices=replica.devices,
        restarts=replica.restarts,
        reason=replica.cause or "",
    )


def _word(state: ReplicaState) -> str:
    if state.leaving:
        return "Terminating"
    if state.ready:
        return "Ready"
    if state.running:
        return "Loading"
    return "CrashLoop" if state.crash_loop else "Restarting"
