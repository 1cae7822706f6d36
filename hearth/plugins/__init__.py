"""Plugin contract: what a vendor plugin imports, and the host that loads and calls plugins.

Names that need the API models are imported on first use, so that `hearth plugins` starts quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.plugins.hookspecs import ENTRY_POINT_GROUP, hookimpl
from hearth.plugins.host import VendorHost
from hearth.plugins.loader import Candidate, VendorStatus
from hearth.plugins.packaged import PackagedRuntime
from hearth.plugins.vendor import (
    PLUGIN_API,
    Device,
    InventoryOutput,
    InventorySource,
    LocalLaunch,
    PluginRejects,
    RuntimeManifest,
    VendorInfo,
    packaged_runtimes,
)

if TYPE_CHECKING:
    from hearth.api import HostMount
    from hearth.plugins.errors import PluginError, VendorUnavailable
    from hearth.plugins.types import (
        AcceleratorRequest,
        MetricsEndpoint,
        PodAdaptation,
        ProbeSet,
        RenderContext,
        ResolvedModel,
    )

__all__ = [
    "ENTRY_POINT_GROUP",
    "PLUGIN_API",
    "AcceleratorRequest",
    "Candidate",
    "Device",
    "HostMount",
    "InventoryOutput",
    "InventorySource",
    "LocalLaunch",
    "MetricsEndpoint",
    "PackagedRuntime",
    "PluginError",
    "PluginRejects",
    "PodAdaptation",
    "ProbeSet",
    "RenderContext",
    "ResolvedModel",
    "RuntimeManifest",
    "VendorHost",
    "VendorInfo",
    "VendorStatus",
    "VendorUnavailable",
    "hookimpl",
    "packaged_runtimes",
]

_LATER = {
    "AcceleratorRequest": "types",
    "HostMount": "types",
    "MetricsEndpoint": "types",
    "PodAdaptation": "types",
    "ProbeSet": "types",
    "RenderContext": "types",
    "ResolvedModel": "types",
    "PluginError": "errors",
    "VendorUnavailable": "errors",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
