"""Autoscaler: the number of replicas of a service, by the rules of KEDA (0 <-> 1) and of the HPA (1 <-> N). Pure.

Time is any monotonic clock in seconds. The caller samples the gateway, calls `decide`, and starts and stops processes
accordingly; nothing here knows about processes or devices. The rules and their sources:

- KEDA's executor: active and at zero -> max(1, min) at once; inactive, min 0 -> zero once `last_active + cooldown` has
  passed, from any count, whatever the downscale window says.
- The HPA's replica calculator with an AverageValue metric: keep the count while the ratio of demand to
  `target x replicas` is within the tolerance, else ceil(demand / target).
- The HPA's behaviour defaults: up by at most max(100 %, 4 replicas) per 15 s; down to the highest recommendation of
  the stabilization window.

Two rules are Hearth's own. One is a floor set by hand (`hearth scale`). The other is contention: while another service
waits for a device, the downscale window does not keep replicas that demand no longer needs. The cooldown always holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hearth.api import format_duration


@dataclass(frozen=True, slots=True)
class ScalerConfig:
    """Scaling settings of one service. Durations are seconds; `target` is the demand that one replica should have."""

    min: int
    max: int
    target: float
    cooldown: float
    stabilization: float
    tolerance: float = 0.1
    sync_period: float = 1.0
    """Shortest time between two 1 <-> N decisions. It is 15 s in Kubernetes; one machine can afford more."""
    burst_replicas: int = 4
    burst_factor: float = 2.0
    burst_period: float = 15.0

    def __post_init__(self) -> None:
        if not 0 <= self.min <= self.max or self.max < 1:
            raise ValueError(f"0 <= min <= max and max >= 1 must hold, not min {self.min}, max {self.max}")
        if self.target <= 0:
            raise ValueError(f"target must be above 0, not {self.target}")


@dataclass(frozen=True, slots=True)
class Sample:
    """State of the gateway. `demand` = requests held + in flight, at least 1 during an activation.

    `last_request` is when the latest request arrived: one that begins and ends between two samples counts too, which
    KEDA misses. `contended` means that another service waits for a device of this vendor.
    """

    demand: int
    last_request: float | None = None
    contended: bool = False


@dataclass(frozen=True, slots=True)
class ScalerState:
    """Memory of `decide`. `replicas` is its last answer, as spec.replicas is in Kubernetes."""

    replicas: int = 0
    active: bool = False
    """Whether the last sample had demand."""
    last_active: float | None = None
    last_sync: float | None = None
    recommendations: tuple[tuple[float, int], ...] = ()
    """(time, count), newest last, counts falling: an older, smaller one can never be the window's highest."""
    additions: tuple[tuple[float, int], ...] = ()
    """(time, replicas added) of the last burst period."""
    floor: int = 0
    floor_until: float = -math.inf
    skip_cooldown: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Number of replicas, why, and the state for the next decision."""

    state: ScalerState
    replicas: int
    reason: str


def decide(state: ScalerState, sample: Sample, config: ScalerConfig, now: float) -> Decision:
    """Decide how many replicas a service should have at `now`."""
    active = sample.demand > 0
    # Demand that has just ended may have lasted until `now`.
    seen = now if active or state.active else sample.last_request
    if seen is not None and (state.last_active is None or seen > state.last_active):
        state = replace(state, last_active=seen)
    state = replace(state, active=active)
    floor = held_floor(state, config, now)
    lowest = max(config.min, floor)

    if state.replicas == 0:
        state = replace(state, skip_cooldown=False)
        if active or lowest > 0:
            why = "a request is waiting" if active else _why_lowest(config, floor)
            return _set(state, max(1, lowest), why, now)
        return Decision(state, 0, "no demand")

    if not active and lowest == 0:
        left = cooldown_left(state, config, now)
        if left is None:
            why = "`hearth scale`" if state.skip_cooldown else f"no demand for {format_duration(config.cooldown)}"
            return _set(replace(state, skip_cooldown=False), 0, why, now)

    # HPA: the bounds apply at once, the metric is evaluated once per sync period.
    bounded = min(max(state.replicas, lowest), config.max)
    if bounded != state.replicas:
        why = _why_lowest(config, floor) if bounded > state.replicas else f"spec.scaling.max is {config.max}"
        return _set(state, bounded, why, now)
    if state.last_sync is not None and now - state.last_sync < config.sync_period:
        return Decision(state, state.replicas, "unchanged")
    return _sync(replace(state, last_sync=now), sample, config, max(1, lowest), now)


def cooldown_left(state: ScalerState, config: ScalerConfig, now: float) -> float | None:
    """Return the seconds until an idle service may scale to zero, or None when it may now."""
    if state.skip_cooldown or state.last_active is None:
        return None
    end = state.last_active + config.cooldown
    return None if end < now else end - now


def held_floor(state: ScalerState, config: ScalerConfig, now: float) -> int:
    """Return the floor set by hand that is in force, at most max; 0 when there is none."""
    return min(state.floor, config.max) if now < state.floor_until else 0


def override(state: ScalerState, replicas: int, now: float, duration: float) -> ScalerState:
    """Return the state after `hearth scale`: at least `replicas` for `duration` s; 0 lifts the floor and skips one cooldown."""
    if replicas <= 0:
        return replace(state, floor=0, floor_until=-math.inf, skip_cooldown=True, recommendations=())
    return replace(state, floor=replicas, floor_until=now + duration, skip_cooldown=False)


def recommend(demand: int, replicas: int, config: ScalerConfig) -> int:
    """Return what the HPA's metric rule alone recommends: no window, no limits."""
    ratio = demand / (config.target * replicas)
    if abs(1.0 - ratio) <= config.tolerance:
        return replicas
    return math.ceil(demand / config.target)


def _sync(state: ScalerState, sample: Sample, config: ScalerConfig, lowest: int, now: float) -> Decision:
    current = state.replicas
    wanted = recommend(sample.demand, current, config)
    cutoff = now - config.stabilization
    seen = state.recommendations or ((now, current),)
    kept = tuple(entry for entry in seen if entry[0] > cutoff and entry[1] > wanted)
    state = replace(state, recommendations=(*kept, (now, wanted)))

    if wanted > current:
        added = sum(count for time, count in state.additions if time > now - config.burst_period)
        start = current - added
        limit = max(math.ceil(start * config.burst_factor), start + config.burst_replicas)
        goal = max(current, min(wanted, limit))
    elif sample.contended:
        goal = wanted
    else:
        goal = min(current, max((count for _, count in kept), default=wanted))
    goal = min(max(goal, lowest), config.max)
    if goal == current:
        return Decision(state, current, "unchanged")
    return _set(state, goal, f"demand is {sample.demand}, the target is {config.target:g} per replica", now, config)


def _set(state: ScalerState, replicas: int, reason: str, now: float, config: ScalerConfig | None = None) -> Decision:
    additions: tuple[tuple[float, int], ...] = ()
    if config is not None:
        additions = tuple(entry for entry in state.additions if entry[0] > now - config.burst_period)
        if replicas > state.replicas:
            additions = (*additions, (now, replicas - state.replicas))
    return Decision(replace(state, replicas=replicas, additions=additions, last_sync=now), replicas, reason)


def _why_lowest(config: ScalerConfig, floor: int) -> str:
    return f"`hearth scale` asks for {floor}" if floor > config.min else f"spec.scaling.min is {config.min}"
