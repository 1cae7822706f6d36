"""Builders of plans, from services and runtimes that are as small as can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning import DEFAULT_OPTIONS, NamespacePlan, Plan, PlanOptions, Target, make_plan, plan_namespace
from hearth_gateway import parse_services
from tests.support.manifests import VENDOR, runtime_model, service_model
from tests.support.vendors import host

ARGS = ("--model={{ .Model.Path }}", "--served-model-name={{ .Service.Name }}")
OPTIONS = [PlanOptions(), PlanOptions(scaler="metrics-api"), PlanOptions(gateway_image="own:1", gateway_replicas=2)]


def service(
    spec: Mapping[str, Any] | None = None, *, name: str = "tiny", namespace: str = "ai", **metadata: Any
) -> LLMService:
    """Return a service of the namespace `ai`."""
    return service_model(name, namespace, metadata=metadata, **(spec or {}))


def runtime(spec: Mapping[str, Any] | None = None, *, vendor: str = VENDOR, name: str = "") -> InferenceRuntime:
    """Return a runtime whose engine is told its model and its name."""
    return runtime_model(
        name, vendor=vendor, **{"container": {"image": "engine:1", "args": list(ARGS)}, **(spec or {})}
    )


def plan(
    spec: Mapping[str, Any] | None = None,
    runtime_spec: Mapping[str, Any] | None = None,
    *,
    target: Target = "cluster",
    **hooks: Callable[..., Any],
) -> Plan:
    """Return the plan of a service, by a vendor with these hooks."""
    return make_plan(service(spec), runtimes=[runtime(runtime_spec)], host=host(**hooks), target=target)


def one(spec: Any = None, runtime_spec: Any = None, options: PlanOptions = DEFAULT_OPTIONS, **metadata: Any) -> Plan:
    """Return the plan of a service in a cluster with these options."""
    return make_plan(
        service(spec, **metadata), runtimes=[runtime(runtime_spec)], host=host(), target="cluster", options=options
    )


def together(plans: list[Plan], options: PlanOptions = DEFAULT_OPTIONS) -> list[Any]:
    """Return all objects of the namespace of these plans."""
    shared = plan_namespace("ai", plans, options)
    assert not shared.refused
    return [*shared.objects, *(item for made in plans for item in made.objects)]


def objects(made: Plan) -> dict[tuple[str, str], Any]:
    """Return the objects of a service by kind and name."""
    return {(item["kind"], item["metadata"]["name"]): item for item in made.objects}


def gateway(shared: NamespacePlan) -> dict[str, Any]:
    """Return the objects of a shared gateway by kind."""
    return {item["kind"]: item for item in shared.objects}


def entries(shared: NamespacePlan) -> dict[str, Any]:
    """Return the entries of a shared gateway by name; each is one that the gateway takes."""
    document = json.loads(gateway(shared)["ConfigMap"]["data"]["services.json"])
    assert len(parse_services(document)) == len(document["services"])
    return {entry["name"]: entry for entry in document["services"]}
