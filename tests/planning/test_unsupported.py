"""Fields that nothing acts on are refused by name, with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.planning import PlanningError, make_plan
from tests.planning.plans import one, plan, runtime, service
from tests.support.vendors import host

SOURCE = {"uri": "hf://acme/tiny"}


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        ({"model": {"catalogRef": "qwen"}}, "CatalogRefUnsupported", "spec.model.catalogRef"),
        ({"model": {}}, "ModelSourceMissing", "spec.model.source"),
        ({"model": {"source": {**SOURCE, "secretRef": {"name": "hf"}}}}, "SecretRefUnsupported", "secretRef: 'hf'"),
        ({"resources": {"fraction": {"memory": "8Gi"}}}, "FractionUnsupported", "spec.resources.fraction"),
        ({"scaling": {"metric": "kvCacheUtil"}}, "MetricUnsupported", "spec.scaling.metric"),
        ({"cache": {"strategy": "SharedPVC"}}, "CacheStrategyUnsupported", "spec.cache.strategy"),
        ({"cache": {"strategy": "BakedImage"}}, "CacheStrategyUnsupported", "spec.cache.strategy"),
    ],
)
@pytest.mark.parametrize("target", ["cluster", "local"])
def test_unsupported(spec: dict[str, Any], reason: str, field: str, target: Any) -> None:
    with pytest.raises(PlanningError) as caught:
        plan(spec, target=target)
    assert caught.value.reason == reason
    assert field in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "namespace", "kind", "owner"),
    [
        ("hearth-gateway", "ai", "shared", "the gateway that its namespace shares"),
        ("hearth", "ai", "dedicated", "the gateway that its namespace shares"),
        ("kubernetes", "default", "shared", "the API server's Service"),
    ],
)
def test_names_that_are_not_free(name: str, namespace: str, kind: str, owner: str) -> None:
    wanted = service({"endpoint": {"gateway": kind}}, name=name, namespace=namespace)
    with pytest.raises(PlanningError, match=owner) as caught:
        make_plan(wanted, runtimes=[runtime()], host=host(), target="cluster")
    assert caught.value.reason == "ReservedName"
    assert make_plan(wanted, runtimes=[runtime()], host=host(), target="local").objects == ()
    assert one(name="kubernetes").objects
