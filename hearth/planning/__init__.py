"""From manifests to a plan: pure functions, no I/O. The operator applies the plan, local mode runs it."""

from __future__ import annotations

from hearth.planning.errors import PlanningError
from hearth.planning.explanation import as_document, cold_request, startup_seconds
from hearth.planning.gateway_config import DOCUMENT, NOTICES, gateway_entries
from hearth.planning.gateway_deployment import ACCOUNT_ANNOTATION, with_account
from hearth.planning.inventory import LocalInventory, local_devices, local_inventory_sources
from hearth.planning.labels import GATEWAY_LABEL, MANAGED_BY_LABEL, PREWARM_LABEL, RUNTIME_LABEL, SERVICE_LABEL
from hearth.planning.launch import HttpProbe, Launch, local_launch
from hearth.planning.model import Target
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
from hearth.planning.options import DEFAULT_OPTIONS, GatewayPod, PlanOptions, Scaler, parse_gateway_pod
from hearth.planning.plan import Plan, make_plan, with_notice
from hearth.planning.prewarm import TEMPLATE_ANNOTATION, with_nodes
from hearth.planning.probes import Probes
from hearth.planning.scaledobject import with_scaler_ip
from hearth.planning.scaling import Scaling
from hearth.planning.selection import available_runtimes, named_runtime
from hearth.plugins import ResolvedModel, VendorInfo

__all__ = [
    "ACCOUNT_ANNOTATION",
    "CREATED_ONCE",
    "DEFAULT_OPTIONS",
    "DOCUMENT",
    "GATEWAY_LABEL",
    "KINDS",
    "MANAGED_BY_LABEL",
    "NOTICES",
    "PREWARM_LABEL",
    "RUNTIME_LABEL",
    "SERVICE_LABEL",
    "SHARED_GATEWAY",
    "TEMPLATE_ANNOTATION",
    "GatewayPod",
    "HttpProbe",
    "Identity",
    "Launch",
    "LocalInventory",
    "NamespacePlan",
    "Plan",
    "PlanOptions",
    "PlanningError",
    "Probes",
    "ResolvedModel",
    "Scaler",
    "Scaling",
    "Target",
    "VendorInfo",
    "as_document",
    "available_runtimes",
    "backend_name",
    "claim_name",
    "cold_request",
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
    "parse_gateway_pod",
    "plan_namespace",
    "prewarm_name",
    "startup_seconds",
    "with_account",
    "with_nodes",
    "with_notice",
    "with_scaler_ip",
]
