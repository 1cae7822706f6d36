"""Views: one word for every state of a replica, and what waiting clients may read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hearth.api import ManifestError
from hearth.local.restarts import CRASH_LOOP, Failures
from hearth.local.views import Unplanned, notice_of, replica_state, service_view, unplanned_view


def replica(name: str = "0", **changes: Any) -> Any:
    """Play a replica; what is not given is that of one which was just created."""
    base: dict[str, Any] = {
        "name": name,
        "ready": False,
        "leaving": False,
        "process": SimpleNamespace(pid=4711),
        "port": 20000,
        "devices": ("0",),
        "restarts": 0,
        "failures": Failures(),
        "cause": None,
        "retry_at": None,
        "started_at": 0.0,
    }
    return SimpleNamespace(**{**base, **changes})


def service(*replicas: Any, **changes: Any) -> Any:
    workload = SimpleNamespace(name="qwen", runtime="vllm-fake", gateway=SimpleNamespace(namespace="ai"))
    base = {"workload": workload, "since": 10.0, "wanted": 1, "waiting": None, "impossible": None}
    kept = {one.name: one for one in replicas}
    staying = [one for one in replicas if not one.leaving]
    return SimpleNamespace(**{**base, "replicas": kept, "staying": lambda: staying, **changes})


LOOP = Failures(CRASH_LOOP)

UNPLANNED = Unplanned("ai", ManifestError("m.yaml", 1, 1, "", None, "no such runtime", "name another"))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "Loading"),
        ({"ready": True}, "Ready"),
        ({"ready": True, "leaving": True}, "Terminating"),
        ({"process": None}, "Restarting"),
        ({"process": None, "failures": LOOP}, "CrashLoop"),
    ],
)
def test_every_state_of_a_replica_has_a_word(changes: dict[str, Any], word: str) -> None:
    [shown] = service_view(service(replica(**changes)), None, 100.0).replicas
    assert shown.state == word


def test_a_view_counts_what_serves() -> None:
    stats: Any = SimpleNamespace(held=2, in_flight=3)
    view = service_view(service(replica("0", ready=True), replica("1", ready=True, leaving=True)), stats, 25.0)
    assert (view.name, view.namespace, view.phase, view.ready) == ("qwen", "ai", "Ready", 1)
    assert (view.held, view.in_flight, view.age) == (2, 3, 15.0)


def test_ages_are_in_milliseconds() -> None:
    assert service_view(service(since=0.1), None, 0.4).age == 0.3
    assert unplanned_view("qwen", UNPLANNED, 0.4 - 0.1).age == 0.3


def test_times_are_relative_to_now() -> None:
    waiting = replica_state(replica(process=None, retry_at=104.0), 100.0)
    assert (waiting.retry_in, waiting.running_for) == (4.0, 0.0)
    assert replica_state(replica(started_at=90.0), 100.0).running_for == 10.0


def test_a_service_that_cannot_run_here_is_degraded() -> None:
    view = unplanned_view("qwen", UNPLANNED, 3.0)
    assert (view.namespace, view.phase, view.ready, view.replicas) == ("ai", "Degraded", 0, ())
    assert view.reason == "m.yaml:1: no such runtime; name another"


def test_a_notice_never_quotes_the_engine() -> None:
    secret = replica(process=None, failures=LOOP, cause="exited with code 1: sk-secret")
    notice = notice_of(service(secret))
    assert notice == "the backend keeps crashing; `hearth get -o wide` and `hearth logs` say why"
    assert notice_of(service(secret, replica("1", ready=True))) is None
    assert notice_of(service(waiting="needs 1 accelerator")) == "needs 1 accelerator"
    assert notice_of(service(waiting="needs 1", impossible="needs 9")) == "needs 9"
    assert notice_of(service()) is None
