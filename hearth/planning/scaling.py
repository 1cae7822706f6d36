"""The scaling rules of a service, for the scaler of either target."""

from __future__ import annotations

from dataclasses import dataclass

from hearth.api import InferenceRuntime, LLMService


@dataclass(frozen=True, slots=True)
class Scaling:
    """The scaling rules of a service; times are seconds.

    `target` is the wanted value of `metric` per replica (requests held and in flight). `cooldown` is how long the
    demand must be 0 before the last replica goes, `stabilization` the HPA's scale-down window. `drain_timeout` is how
    long requests in flight may go on after a replica is told to stop; 0 without `lifecycle.preStopDrain`.
    """

    min: int
    max: int
    metric: str
    target: int
    activation_timeout: float
    cooldown: float
    stabilization: float
    drain_timeout: float


def plan_scaling(service: LLMService, runtime: InferenceRuntime) -> Scaling:
    """Return the rules that a service asks for."""
    scaling = service.spec.scaling
    stabilization = scaling.scale_down_stabilization.seconds
    return Scaling(
        min=scaling.min,
        max=scaling.max,
        metric=scaling.metric,
        target=scaling.target,
        activation_timeout=scaling.activation_timeout.seconds,
        cooldown=stabilization,
        stabilization=stabilization,
        drain_timeout=scaling.drain_timeout.seconds if runtime.spec.lifecycle.pre_stop_drain else 0.0,
    )
