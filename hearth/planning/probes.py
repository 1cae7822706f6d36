"""The probes of the serving container: the runtime's, else the vendor's, else Hearth's."""

from __future__ import annotations

from dataclasses import dataclass

from hearth.api import InferenceRuntime, Probe
from hearth.plugins import ProbeSet

HEALTH_PATH = "/health"
STARTUP_PERIOD = 10
STARTUP_FAILURES = 60


@dataclass(frozen=True, slots=True)
class Probes:
    """Complete probes: each has a handler. There is no liveness probe unless someone asks for one."""

    startup: Probe
    readiness: Probe
    liveness: Probe | None

    @property
    def startup_seconds(self) -> float:
        """The time that the startup probe lets the engine start in."""
        failures = self.startup.failure_threshold or 3
        return float((self.startup.initial_delay_seconds or 0) + (self.startup.period_seconds or 10) * failures)


def merge_probes(runtime: InferenceRuntime, vendor: ProbeSet | None) -> Probes:
    """Choose each probe as a whole; one without a handler asks GET /health.

    vLLM refuses connections until it is ready and then answers /health with 200, so one path does for all.
    """
    health = runtime.spec.health
    port = runtime.spec.container.port.name
    added = vendor or ProbeSet()
    startup = health.startup or added.startup
    readiness = health.readiness or added.readiness
    liveness = health.liveness or added.liveness
    return Probes(
        startup=_complete(startup, port)
        if startup
        else _complete(Probe(period_seconds=STARTUP_PERIOD, failure_threshold=STARTUP_FAILURES), port),
        readiness=_complete(readiness or Probe(), port),
        liveness=_complete(liveness, port) if liveness else None,
    )


def _complete(probe: Probe, port: str) -> Probe:
    if probe.http_get or probe.tcp_socket or probe.exec or probe.grpc:
        return probe
    return Probe.model_validate(
        {**probe.to_wire(defaults=False), "httpGet": {"path": HEALTH_PATH, "port": port}},
    )
