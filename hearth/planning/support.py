"""Fields that the API has and that Hearth does not act on yet: refused by name, never ignored."""

from __future__ import annotations

from hearth.api import LLMService
from hearth.planning.errors import PlanningError


def check_supported(service: LLMService) -> None:
    """Raise PlanningError for the first field of a service that nothing would act on."""
    spec = service.spec
    if spec.model.catalog_ref is not None:
        raise PlanningError(
            "CatalogRefUnsupported",
            f"spec.model.catalogRef: {spec.model.catalog_ref!r} is not supported",
            "name the model by spec.model.source.uri, such as hf://organisation/model",
        )
    if spec.model.source is not None and spec.model.source.secret_ref is not None:
        raise PlanningError(
            "SecretRefUnsupported",
            f"spec.model.source.secretRef: {spec.model.source.secret_ref.name!r} is not supported",
            "put HF_TOKEN into the InferenceRuntime's container.env with valueFrom.secretKeyRef; "
            "on one machine, export HF_TOKEN",
        )
    if spec.scaling.metric != "queueDepth":
        raise PlanningError(
            "MetricUnsupported",
            f"spec.scaling.metric: {spec.scaling.metric!r} is not supported",
            "use queueDepth (requests held and in flight), or leave the field out",
        )
    if spec.cache.strategy in ("SharedPVC", "BakedImage"):
        raise PlanningError(
            "CacheStrategyUnsupported",
            f"spec.cache.strategy: {spec.cache.strategy!r} is not supported",
            "use NodeLocalPVC, HostPath or None; weights on a shared volume are spec.model.source.uri: pvc://claim/dir",
        )
