"""Service of the supervisor: which replicas are of its workload, and which go first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hearth.local.service import Service, expendable


def replica(name: str, *, ready: bool = False, leaving: bool = False, fingerprint: str = "new") -> Any:
    workload = SimpleNamespace(fingerprint=fingerprint)
    return SimpleNamespace(name=name, ready=ready, leaving=leaving, workload=workload)


def test_a_change_makes_replicas_stale() -> None:
    old, new, going = replica("0", fingerprint="old"), replica("1"), replica("2", leaving=True)
    workload: Any = SimpleNamespace(fingerprint="new")
    service = Service(workload, since=0.0, replicas={"0": old, "1": new, "2": going})
    assert (service.staying(), service.fresh(), service.stale()) == ([old, new], [new], [old])


def test_the_unready_go_first_then_the_idle_then_the_newest() -> None:
    loads = {"0": 0, "1": 0, "2": 3, "3": 0, "10": 0}
    replicas = [replica(name, ready=name != "3") for name in loads]
    order = expendable(replicas, lambda one: loads[one.name])
    assert [one.name for one in order] == ["3", "10", "1", "0", "2"]
