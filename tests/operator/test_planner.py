"""Plans, made once for every change."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.operator import planner as module
from hearth.operator.cache import Cache
from hearth.operator.planner import Planner
from hearth.operator.service_entry import ServiceEntry
from hearth.planning import PlanOptions
from tests.operator.harness import HOST, manifest, runtime_manifest


class Planning:
    def __init__(self) -> None:
        self.cache = Cache()
        self.planner = Planner(HOST, PlanOptions(), self.cache)
        self._versions = iter(range(1, 100))

    def stored(self, item: dict[str, Any], generation: int = 1) -> dict[str, Any]:
        item["metadata"] |= {"uid": "u", "generation": generation, "resourceVersion": str(next(self._versions))}
        return item

    def service(self, generation: int = 1, **spec: Any) -> ServiceEntry:
        entry, _ = self.cache.see_service(self.stored(manifest(**spec), generation))
        self.planner.plan(entry)
        return entry


@pytest.fixture
def planning() -> Planning:
    planning = Planning()
    planning.cache.see_runtime(planning.stored(runtime_manifest()))
    return planning


def test_nothing_changed_is_no_other_plan(planning: Planning) -> None:
    first = planning.service().planned
    assert first.plan is not None
    assert first.wanted.keys() >= {("Deployment", "m")}
    assert planning.service().planned is first


def test_a_changed_runtime_is_another_plan(planning: Planning) -> None:
    first = planning.service().planned
    planning.cache.see_runtime(planning.stored(runtime_manifest(image="engine:2")))
    second = planning.service().planned
    assert second.token != first.token
    assert second.wanted["Deployment", "m"] != first.wanted["Deployment", "m"]


def test_a_spec_that_cannot_be_planned_keeps_the_last_plan(planning: Planning) -> None:
    first = planning.service().planned
    second = planning.service(2, runtime={"name": "missing"}).planned
    assert (second.plan, second.wanted) == (first.plan, first.wanted)
    assert second.error is not None
    assert second.token != first.token


def test_a_bug_in_planning_is_met_once(planning: Planning, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def broken(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise KeyError("bug")

    monkeypatch.setattr(module, "make_plan", broken)
    with pytest.raises(KeyError):
        planning.service()
    assert planning.service().planned.plan is None
    assert len(calls) == 1
