"""Series of the operator."""

from __future__ import annotations

import pytest

from hearth.operator.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def lines(metrics: Metrics) -> list[str]:
    return metrics.render().decode().splitlines()


def test_gauges_are_read_at_every_scrape(metrics: Metrics) -> None:
    depth = [3]
    metrics.queue_depth, metrics.keda, metrics.leader = (lambda: depth[0]), (lambda: True), 1
    assert "hearth_operator_queue_depth 3.0" in lines(metrics)
    depth[0] = 4
    found = lines(metrics)
    assert "hearth_operator_queue_depth 4.0" in found
    assert {"hearth_operator_keda_available 1.0", "hearth_operator_leader 1.0"} <= {*found}


def test_services_by_phase_and_their_conditions(metrics: Metrics) -> None:
    bad = {"type": "Ready", "status": "False", "reason": "OOMKilled"}
    idle = {"type": "Activating", "status": "False", "reason": "ScaledToZero"}
    metrics.status("ns", "m", {"phase": "Degraded", "conditions": [bad, idle]})
    found = lines(metrics)
    assert 'hearth_operator_services{phase="Degraded"} 1.0' in found
    assert 'hearth_operator_services{phase="Ready"} 0.0' in found, "a phase without services is there, too"
    condition = 'hearth_operator_condition{namespace="ns",reason="OOMKilled",service="m",type="Ready"} 1.0'
    assert [line for line in found if line.startswith("hearth_operator_condition{")] == [condition]
    metrics.forget("ns", "m")
    assert 'hearth_operator_services{phase="Degraded"} 0.0' in lines(metrics)


def test_counters(metrics: Metrics) -> None:
    metrics.reconciled("error", 0.2)
    metrics.applied("Deployment", "create")
    metrics.event()
    found = {*lines(metrics)}
    assert 'hearth_operator_reconciles_total{result="error"} 1.0' in found
    assert 'hearth_operator_reconciles_total{result="success"} 0.0' in found
    assert 'hearth_operator_apply_total{kind="Deployment",verb="create"} 1.0' in found
    assert "hearth_operator_watch_events_total 1.0" in found
