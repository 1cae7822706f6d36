"""Unsupported fields: they are in the API, Hearth does not act on them yet, and refuses them by name."""

from __future__ import annotations

from hearth.api import LLMService
from hearth.planning.errors import PlanningError
from hearth.planning.names import SHARED_GATEWAY, dedicated_gateway_name
from hearth.planning.target import Target


def check_supported(service: LLMService, target: Target) -> None:
    """Raise PlanningError for the first field of a service that nothing would act on, and for names that are taken."""
    spec = service.spec
    if target == "cluster":
        _check_name(service)
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


def _check_name(service: LLMService) -> None:
    """Refuse the names of the namespace's gateway, whether or not it runs already, and that of the API server."""
    name = service.metadata.name
    dedicated = service.spec.endpoint.gateway == "dedicated" and dedicated_gateway_name(service) == SHARED_GATEWAY
    if name == SHARED_GATEWAY or dedicated:
        owner = "those of the gateway that its namespace shares"
    elif (service.metadata.namespace, name) == ("default", "kubernetes"):
        owner = "that of the API server's Service"
    else:
        return
    raise PlanningError(
        "ReservedName",
        f"metadata.name: {name!r} would give the service's objects names that are taken: {owner}",
        "choose another name; clients can use any other one listed in spec.endpoint.aliases",
    )
