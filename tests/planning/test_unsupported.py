"""Fields that nothing acts on are refused by name, with what to write instead."""

from typing import Any

import pytest

from hearth.planning import PlanningError

from .support import plan

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
