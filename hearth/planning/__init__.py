"""Planning: from manifests to a plan, by pure functions. The operator applies the plan, local mode runs it."""

from __future__ import annotations

from hearth.planning.binding import LiveValues, bind
from hearth.planning.document import as_document
from hearth.planning.errors import PlanningError
from hearth.planning.gateway.config import NOTICES_KEY, SERVICES_KEY, gateway_entries
from hearth.planning.gateway.deployment import ACCOUNT_ANNOTATION
from hearth.planning.inventory import LocalInventory, local_devices, local_inventory_sources
from hearth.planning.labels import GATEWAY_LABEL, MANAGED_BY_LABEL, PREWARM_LABEL, RUNTIME_LABEL, SERVICE_LABEL
from hearth.planning.launch import HttpProbe, Launch, local_launch
from hearth.planning.make import make_plan
from hearth.planning.names import (
    SHARED_GATEWAY,
    Identity,
    backend_name,
    claim_name,
    endpoint_url,
    gateway_name,
    gateway_service_name,
    identity,
    prewarm_name,
)
from hearth.planning.namespace import NamespacePlan, plan_namespace
from hearth.planning.objects import CREATED_ONCE, KINDS
from hearth.planning.options import DEFAULT_OPTIONS, LOCAL_REGISTRY, PlanOptions, Scaler, default_gateway_image
from hearth.planning.plan import Plan
from hearth.planning.prewarm import TEMPLATE_ANNOTATION
from hearth.planning.probes import Probes
from hearth.planning.scaling import Scaling
from hearth.planning.selection import available_runtimes, named_runtime
from hearth.planning.target import Target

__all__ = [
    "ACCOUNT_ANNOTATION",
    "CREATED_ONCE",
    "DEFAULT_OPTIONS",
    "GATEWAY_LABEL",
    "KINDS",
    "LOCAL_REGISTRY",
    "MANAGED_BY_LABEL",
    "NOTICES_KEY",
    "PREWARM_LABEL",
    "RUNTIME_LABEL",
    "SERVICES_KEY",
    "SERVICE_LABEL",
    "SHARED_GATEWAY",
    "TEMPLATE_ANNOTATION",
    "HttpProbe",
    "Identity",
    "Launch",
    "LiveValues",
    "LocalInventory",
    "NamespacePlan",
    "Plan",
    "PlanOptions",
    "PlanningError",
    "Probes",
    "Scaler",
    "Scaling",
    "Target",
    "as_document",
    "available_runtimes",
    "backend_name",
    "bind",
    "claim_name",
    "default_gateway_image",
    "endpoint_url",
    "gateway_entries",
    "gateway_name",
    "gateway_service_name",
    "identity",
    "local_devices",
    "local_inventory_sources",
    "local_launch",
    "make_plan",
    "named_runtime",
    "plan_namespace",
    "prewarm_name",
]
