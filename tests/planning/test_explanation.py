"""Reasons: what a user reads of a plan before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.planning import as_document
from tests.planning.plans import OPTIONS, one, plan

KEEP = {"min": 0, "activationTimeout": "5m"}


def reason(made: Any, subject: str) -> str:
    [found] = [line for line in map(str, made.reasons) if line.startswith(subject)]
    return str(found)


def test_a_cold_request_that_is_held() -> None:
    assert reason(plan(), "cold request") == (
        "cold request: held for at most 5m0s while a replica starts; a stream gets a heartbeat every 10s, then its "
        "tokens; any other request waits silently"
    )


def test_a_cold_request_that_is_rejected() -> None:
    assert reason(plan({"endpoint": {"coldStart": {"mode": "reject"}}}), "cold request") == (
        "cold request: rejected at once with 503 and Retry-After; the first one starts a replica, and its demand counts "
        "for 5m0s even without further requests"
    )


def test_scaling_in_words() -> None:
    assert reason(plan({"scaling": {"max": 3, "target": 4, "scaleDownStabilization": "1m"}}), "scaling") == (
        "scaling: 0 to 3 replicas, one replica for every 4 requests held or in flight, fewer after 1m0s of lower "
        "demand, none after 1m0s without any"
    )
    assert reason(plan({"scaling": {"min": 2, "max": 2}}), "scaling") == "scaling: always 2"
    assert "none after" not in reason(plan({"scaling": {"min": 1, "max": 2}}), "scaling")
    assert "because 1 always run" in reason(plan({"scaling": {"min": 1, "max": 2}}), "cold request")


@pytest.mark.parametrize(
    ("uri", "target", "text"),
    [
        ("hf://a/b", "cluster", "downloaded by the engine, kept on the volume claim tiny-cache"),
        ("hf://a/b", "local", "downloaded by the engine into your own cache"),
        ("pvc://w/x", "cluster", "volume claim w, read-only at /models/x"),
        ("file:///m", "local", "directory /m"),
    ],
)
def test_where_the_model_comes_from(uri: str, target: Any, text: str) -> None:
    assert text in reason(plan({"model": {"source": {"uri": uri}}}, target=target), "model")


def test_the_plan_says_where_clients_go_and_who_scales() -> None:
    lines = "\n".join(map(str, one().reasons))
    assert (
        "gateway hearth-gateway: shared by the services of namespace ai; clients reach this one at http://tiny.ai.svc/v1"
        in lines
    )
    assert "scaler: the gateway pushes demand to KEDA at once (external-push, hearth-gateway.ai.svc:9090)" in lines
    assert "scaler: KEDA polls the gateway every 5 s" in "\n".join(map(str, one(options=OPTIONS[1]).reasons))
    assert "never scales to zero" in "\n".join(map(str, one({"scaling": {"min": 1}}).reasons))
    own = "\n".join(map(str, one({"endpoint": {"gateway": "dedicated"}}).reasons))
    assert "gateway tiny-gateway: serves this service alone" in own
    local = plan(target="local")
    assert not [reason for reason in local.reasons if reason.subject.startswith(("gateway", "scaler"))]
    assert as_document(local)["objects"] == []
