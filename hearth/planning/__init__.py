"""From manifests to a plan: pure functions, no I/O. The operator applies the plan, local mode runs it."""

from __future__ import annotations

from hearth.planning.errors import PlanningError
from hearth.planning.explanation import as_document, cold_request, startup_seconds
from hearth.planning.inventory import LocalInventory, local_devices, local_inventory_sources
from hearth.planning.launch import HttpProbe, Launch, local_launch
from hearth.planning.model import Target
from hearth.planning.namespace import NamespacePlan, plan_namespace
from hearth.planning.objects import CREATED_ONCE
from hearth.planning.options import DEFAULT_OPTIONS, PlanOptions, Scaler
from hearth.planning.plan import Plan, make_plan
from hearth.planning.probes import Probes
from hearth.planning.scaling import Scaling
from hearth.planning.selection import available_runtimes, named_runtime
from hearth.plugins import ResolvedModel, VendorInfo

__all__ = [
    "CREATED_ONCE",
    "DEFAULT_OPTIONS",
    "HttpProbe",
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
    "cold_request",
    "local_devices",
    "local_inventory_sources",
    "local_launch",
    "make_plan",
    "named_runtime",
    "plan_namespace",
    "startup_seconds",
]
