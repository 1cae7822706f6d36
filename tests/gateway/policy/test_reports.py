"""What others report: the sum is that of the live reports, whatever comes in whichever order."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hearth_gateway.policy.demand import Demand
from hearth_gateway.policy.reports import EXPIRY, MAX_INSTANCES, NOTHING, Reports, Share

NAMES = st.sampled_from("mno")
INSTANCES = st.sampled_from("abc")
SHARE = st.one_of(
    st.integers(1, 5).map(lambda count: Share(count, wanted=True)), st.sampled_from([NOTHING, Share(0, wanted=True)])
)
TABLE = st.dictionaries(NAMES, SHARE, max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("full"), INSTANCES, TABLE),
        st.tuples(st.just("part"), INSTANCES, TABLE),
        st.tuples(st.just("forget"), INSTANCES, st.just({})),
        st.tuples(st.just("wait"), st.floats(0, EXPIRY), st.just({})),
        st.tuples(st.just("own"), NAMES, SHARE),
        st.tuples(st.just("serve"), NAMES, st.booleans()),
    ),
    max_size=40,
)


class Model:
    """The same, by recomputing everything each time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reports: dict[str, tuple[float, dict[str, Share]]] = {}
        self.own: dict[str, Share] = {"m": NOTHING, "n": NOTHING}

    def total(self, name: str) -> int | None:
        if name not in self.own:
            return None
        shares = [self.own[name], *(table.get(name, NOTHING) for _, table in self.reports.values())]
        return sum(each.requests for each in shares) or int(any(each.wanted for each in shares))


@settings(max_examples=300)
@given(STEPS)
def test_the_total_is_own_demand_and_live_reports(steps: list[Any]) -> None:
    """All requests, or 1 when there are none and somebody wants the model awake. A beginning is told exactly when that leaves 0."""
    model = Model()
    reports = Reports(lambda: model.now)
    demand = Demand(model.own.get, reports)
    told: list[str] = []
    demand.on_activation(told.append)
    for kind, who, what in steps:
        before = {name: model.total(name) or 0 for name in "mno"}
        told.clear()
        if kind in ("full", "part"):
            old = model.reports.get(who, (0.0, {}))[1] if kind == "part" else {}
            model.reports[who] = (model.now, {**old, **what})
            changed = reports.take(who, what, full=kind == "full")
        elif kind == "forget":
            model.reports.pop(who, None)
            changed = reports.forget(who)
        elif kind == "wait":
            model.now += who
            model.reports = {key: each for key, each in model.reports.items() if each[0] >= model.now - EXPIRY}
            changed = reports.expire()
        elif kind == "own":
            if who in model.own:
                model.own[who] = what
            changed = {who}
        else:
            if what:
                model.own.setdefault(who, NOTHING)
            else:
                model.own.pop(who, None)
            changed = {who}
        demand.changed(changed)
        assert len(reports) == len(model.reports)
        for name in "mno":
            total = model.total(name)
            assert demand.total(name) == total
            assert total is None or total >= 0
            assert (name in told) == (before[name] == 0 and bool(total)), name
        assert len(told) == len(set(told))


def held(count: int) -> Share:
    return Share(count, wanted=True)


def test_changes_name_what_changed() -> None:
    reports = Reports(lambda: 0.0)
    assert reports.take("a", {"m": held(1), "n": held(2)}, full=True) == {"m", "n"}
    assert reports.take("a", {"m": held(1), "n": held(3)}, full=False) == {"n"}
    assert reports.take("a", {"n": held(3)}, full=True) == {"m"}
    assert reports.take("a", {"n": Share(0, wanted=True)}, full=False) == {"n"}
    assert reports.total("n") == (0, True)
    assert reports.take("a", {"n": NOTHING}, full=False) == {"n"}
    assert reports.total("n") == NOTHING
    assert reports.forget("a") == set()
    assert reports.forget("b") == set()
    assert not reports._totals


def test_strangers_without_end_do_not_fill_the_memory() -> None:
    now = [0.0]
    reports = Reports(lambda: now[0])
    for index in range(MAX_INSTANCES + 10):
        reports.take(str(index), {"m": held(1)}, full=True)
    assert reports.total("m") == held(MAX_INSTANCES)
    assert reports.take("0", {"m": held(5)}, full=True) == {"m"}
    now[0] = EXPIRY + 1
    assert reports.expire() == {"m"}
    assert reports.take("new", {"m": held(1)}, full=True) == {"m"}
