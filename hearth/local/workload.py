"""Workload: what the supervisor needs of a planned service: scaling, devices, and how to start a replica."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256

from hearth.local.autoscaler import ScalerConfig
from hearth.planning import Launch, Plan, local_launch
from hearth.plugins import VendorHost
from hearth_gateway import ServiceConfig, parse_services

DEFAULT_GRACE = 30.0
"""Seconds from SIGTERM to SIGKILL when the runtime sets none; Kubernetes' default."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Service as local mode runs it. Times are seconds.

    `launch(devices, port)` is pure and raises HearthError when the vendor refuses. Two workloads with the same
    `fingerprint` start identical processes: a change between them restarts nothing.
    """

    name: str
    runtime: str
    vendor: str
    devices: int
    scaling: ScalerConfig
    drain_timeout: float
    grace: float
    gateway: ServiceConfig
    fingerprint: str
    launch: Callable[[Sequence[str], int], Launch]


def workload(plan: Plan, host: VendorHost) -> Workload:
    """Return the workload of a plan. Raises HearthError when its runtime cannot be started on this machine.

    Draining does not depend on `lifecycle.preStopDrain`, which says what a pod can do. Here the gateway knows what is in
    flight, so the full `drainTimeout` always holds and costs nothing when idle.
    """
    launch = partial(_launch, plan, host)
    spec = plan.runtime.spec
    counted = spec.adapter == "plugin" or (spec.local is not None and bool(spec.local.devices))
    devices = plan.devices if counted else 0
    scaling = plan.scaling
    example = launch([str(number) for number in range(devices)], 1)
    return Workload(
        name=plan.service.metadata.name,
        runtime=plan.runtime.metadata.name,
        vendor=plan.vendor.name,
        devices=devices,
        scaling=ScalerConfig(
            min=scaling.min,
            max=scaling.max,
            target=scaling.target,
            cooldown=scaling.cooldown,
            stabilization=scaling.stabilization,
        ),
        drain_timeout=plan.service.spec.scaling.drain_timeout.seconds,
        grace=float(spec.lifecycle.termination_grace_period_seconds or DEFAULT_GRACE),
        gateway=parse_services({"services": [plan.gateway]})[0],
        fingerprint=_fingerprint(plan, example),
        launch=launch,
    )


def _launch(plan: Plan, host: VendorHost, devices: Sequence[str], port: int) -> Launch:
    return local_launch(plan, host=host, devices=devices, port=port)


def _fingerprint(plan: Plan, launch: Launch) -> str:
    parts = asdict(launch) | {"drain_timeout": None, "grace_period": None, "runtime": plan.runtime.metadata.name}
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
