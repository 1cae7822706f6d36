"""The scaling rules: examples from KEDA and the HPA, and the laws that hold for every sequence of samples."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.local.autoscaler import (
    Decision,
    Sample,
    ScalerConfig,
    ScalerState,
    cooldown_left,
    decide,
    override,
    recommend,
)


def config(**changes: float) -> ScalerConfig:
    base = ScalerConfig(min=0, max=10, target=10, cooldown=300, stabilization=300)
    return replace(base, **changes)  # type: ignore[arg-type]


def play(cfg: ScalerConfig, demands: list[tuple[float, int]], state: ScalerState | None = None) -> list[Decision]:
    """Decisions for (time, demand) pairs, one after the other."""
    state = state or ScalerState()
    answers = []
    for now, demand in demands:
        answer = decide(state, Sample(demand), cfg, now)
        answers.append(answer)
        state = answer.state
    return answers


@st.composite
def configs(draw: st.DrawFn) -> ScalerConfig:
    low = draw(st.integers(0, 5))
    return ScalerConfig(
        min=low,
        max=draw(st.integers(max(low, 1), 12)),
        target=draw(st.integers(1, 20)),
        cooldown=draw(st.sampled_from([0.0, 1.0, 30.0, 300.0])),
        stabilization=draw(st.sampled_from([0.0, 1.0, 30.0, 300.0])),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[float, int]]:
    steps = draw(st.lists(st.tuples(st.floats(0.01, 60.0), st.integers(0, 200)), min_size=1, max_size=40))
    now, history = 0.0, []
    for gap, demand in steps:
        now += gap
        history.append((now, demand))
    return history


@st.composite
def states(draw: st.DrawFn) -> tuple[ScalerConfig, ScalerState, float]:
    """Return a state that some history leads to, and a later moment."""
    cfg = draw(configs())
    history = draw(histories())
    state = play(cfg, history)[-1].state
    if draw(st.booleans()):
        state = override(state, draw(st.integers(0, cfg.max)), history[-1][0], draw(st.floats(0.1, 100)))
    return cfg, state, history[-1][0] + draw(st.floats(0.01, 400))


# --- laws -----------------------------------------------------------------------------------------------------------


@given(configs(), histories())
def test_the_count_is_always_between_min_and_max(cfg: ScalerConfig, history: list[tuple[float, int]]) -> None:
    assert all(cfg.min <= answer.replicas <= cfg.max for answer in play(cfg, history))


@given(configs(), histories())
def test_demand_always_has_a_replica(cfg: ScalerConfig, history: list[tuple[float, int]]) -> None:
    for (_, demand), answer in zip(history, play(cfg, history), strict=True):
        assert answer.replicas >= 1 or demand == 0


@given(configs(), histories())
def test_zero_only_after_the_cooldown(cfg: ScalerConfig, history: list[tuple[float, int]]) -> None:
    last_active = None
    before = 0
    for (now, demand), answer in zip(history, play(cfg, history), strict=True):
        if demand:
            last_active = now
        if before > 0 and answer.replicas == 0:
            assert last_active is not None
            assert now > last_active + cfg.cooldown
        before = answer.replicas


@given(configs(), histories())
def test_idle_long_enough_always_ends_at_min(cfg: ScalerConfig, history: list[tuple[float, int]]) -> None:
    state = play(cfg, history)[-1].state
    end = history[-1][0] + 0.01
    now = end + cfg.cooldown + cfg.stabilization + cfg.sync_period
    quiet = [(end, 0), *((now + step * (cfg.sync_period + cfg.stabilization + 1), 0) for step in range(1, 4))]
    assert play(cfg, quiet, state)[-1].replicas == cfg.min


@given(states(), st.integers(0, 200), st.integers(0, 200))
def test_more_demand_never_means_fewer(setup: tuple[ScalerConfig, ScalerState, float], a: int, b: int) -> None:
    cfg, state, now = setup
    low, high = sorted((a, b))
    assert decide(state, Sample(low), cfg, now).replicas <= decide(state, Sample(high), cfg, now).replicas


@given(configs(), st.integers(1, 200))
def test_constant_demand_settles_and_stays(cfg: ScalerConfig, demand: int) -> None:
    answers = play(cfg, [(step * 16.0, demand) for step in range(1, 60)])
    settled = [answer.replicas for answer in answers[-20:]]
    assert len(set(settled)) == 1
    ideal = min(max(math.ceil(demand / cfg.target), cfg.min, 1), cfg.max)
    assert abs(settled[0] - ideal) <= math.ceil(cfg.tolerance * settled[0])


@given(configs(), st.lists(st.integers(0, 200), min_size=2, max_size=60))
def test_no_flapping_inside_the_window(cfg: ScalerConfig, demands: list[int]) -> None:
    """Demand that jumps about for less than a window and a cooldown only ever raises the count."""
    cfg = replace(cfg, stabilization=300.0, cooldown=300.0)
    counts = [answer.replicas for answer in play(cfg, [(float(step), demand) for step, demand in enumerate(demands)])]
    assert counts == sorted(counts)


@given(states(), st.integers(0, 200))
def test_the_same_moment_gives_the_same_answer(setup: tuple[ScalerConfig, ScalerState, float], demand: int) -> None:
    cfg, state, now = setup
    first = decide(state, Sample(demand), cfg, now)
    again = decide(first.state, Sample(demand), cfg, now)
    assert again.replicas == first.replicas


@given(states(), st.integers(0, 200))
def test_contention_only_lowers_and_never_to_zero_early(
    setup: tuple[ScalerConfig, ScalerState, float], demand: int
) -> None:
    cfg, state, now = setup
    calm = decide(state, Sample(demand), cfg, now)
    pressed = decide(state, Sample(demand, contended=True), cfg, now)
    assert pressed.replicas <= calm.replicas
    assert (pressed.replicas == 0) == (calm.replicas == 0)


@given(states(), st.integers(1, 12), st.integers(0, 200), st.floats(1, 100))
def test_a_floor_holds_until_it_ends(
    setup: tuple[ScalerConfig, ScalerState, float], floor: int, demand: int, duration: float
) -> None:
    cfg, state, now = setup
    state = override(state, floor, now, duration)
    held = decide(state, Sample(demand), cfg, now + duration / 2)
    assert min(floor, cfg.max) <= held.replicas <= cfg.max


# --- examples -------------------------------------------------------------------------------------------------------


def test_wakes_at_once_to_one_and_grows_at_the_next_sync() -> None:
    first, soon, later = play(config(), [(0, 45), (0.1, 45), (1.0, 45)])
    assert (first.replicas, soon.replicas, later.replicas) == (1, 1, 5)
    assert first.reason == "a request is waiting"
    assert later.reason == "demand is 45, the target is 10 per replica"


def test_jumps_to_zero_from_any_count() -> None:
    answers = play(config(cooldown=10, stabilization=300), [(0, 45), (1, 45), (2, 0), (12, 0), (12.5, 0)])
    assert [answer.replicas for answer in answers] == [1, 5, 5, 5, 0]
    assert answers[-1].reason == "no demand for 10s"


def test_min_above_zero_starts_without_demand_and_never_sleeps() -> None:
    answers = play(config(min=2, cooldown=0, stabilization=0), [(0, 0), (1000, 0), (2000, 0)])
    assert [answer.replicas for answer in answers] == [2, 2, 2]
    assert answers[0].reason == "spec.scaling.min is 2"


@pytest.mark.parametrize(
    ("demand", "replicas", "expected"),
    [(109, 10, 10), (90, 10, 10), (111, 10, 12), (89, 10, 9), (0, 3, 0), (1, 1, 1), (10, 1, 1), (12, 1, 2)],
)
def test_tolerance_is_a_tenth_of_the_ratio(demand: int, replicas: int, expected: int) -> None:
    assert recommend(demand, replicas, config(max=100)) == expected


def test_growth_is_limited_per_fifteen_seconds() -> None:
    answers = play(config(max=100), [(0, 1000), (1, 1000), (2, 1000), (15, 1000), (16, 1000), (17, 1000), (31.5, 1000)])
    assert [answer.replicas for answer in answers] == [1, 5, 5, 5, 10, 10, 20]


def test_the_downscale_window_keeps_the_highest_recommendation() -> None:
    cfg = config(stabilization=60)
    answers = play(cfg, [(0, 45), (1, 45), (2, 25), (30, 35), (61, 5), (62, 5), (90.5, 5)])
    assert [answer.replicas for answer in answers] == [1, 5, 5, 5, 4, 4, 1]


def test_contention_skips_the_window_but_not_the_cooldown() -> None:
    state = play(config(), [(0, 45), (1, 45)])[-1].state
    answer = decide(state, Sample(0, contended=True), config(), 2)
    assert answer.replicas == 1
    assert cooldown_left(answer.state, config(), 3) == pytest.approx(299)


def test_sleeping_by_hand_waits_for_the_last_request() -> None:
    state = override(play(config(), [(0, 5)])[-1].state, 0, 1, 0)
    busy = decide(state, Sample(1), config(), 2)
    idle = decide(busy.state, Sample(0), config(), 3)
    assert (busy.replicas, idle.replicas, idle.reason) == (1, 0, "`hearth scale`")
    woken = decide(idle.state, Sample(1), config(), 4)
    assert decide(woken.state, Sample(0), config(), 5).replicas == 1, "the cooldown counts again"


def test_a_floor_by_hand_is_temporary() -> None:
    cfg = config(cooldown=5)
    state = override(ScalerState(), 3, 0, 60)
    held = decide(state, Sample(0), cfg, 0)
    assert (held.replicas, held.reason) == (3, "`hearth scale` asks for 3")
    assert decide(held.state, Sample(0), cfg, 59).replicas == 3
    assert decide(held.state, Sample(0), cfg, 61).replicas == 0


@pytest.mark.parametrize("changes", [{"min": 3, "max": 2}, {"max": 0}, {"target": 0}, {"min": -1}])
def test_impossible_settings_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        config(**changes)


def test_a_request_between_two_looks_refreshes_the_cooldown() -> None:
    cfg = config(cooldown=10)
    state = play(cfg, [(0, 1), (1, 0)])[-1].state
    seen = decide(state, Sample(0, last_request=8), cfg, 11)
    assert seen.replicas == 1
    assert decide(seen.state, Sample(0, last_request=8), cfg, 18.5).replicas == 0
