"""Kinds and their paths in the API."""

from __future__ import annotations

import pytest

from hearth.operator.kubernetes.kinds import CHILDREN, DEPLOYMENT, INFERENCE_RUNTIME, POD, kind_of
from hearth.planning import KINDS


def test_paths() -> None:
    assert POD.path() == "/api/v1/pods"
    assert POD.path("ns", "m") == "/api/v1/namespaces/ns/pods/m"
    assert DEPLOYMENT.path("ns", "m", "scale") == "/apis/apps/v1/namespaces/ns/deployments/m/scale"
    assert INFERENCE_RUNTIME.path("ns", "r") == "/apis/serving.hearth.dev/v1alpha1/inferenceruntimes/r"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_planned_kind_is_known(kind: str) -> None:
    found = kind_of({"apiVersion": KINDS[kind], "kind": kind})
    assert found in CHILDREN
    assert (found.api_version, found.kind) == (KINDS[kind], kind)
