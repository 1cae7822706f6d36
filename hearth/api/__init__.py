"""The two kinds that users write, and how they are read: nothing else in Hearth knows the names on the wire.

The names below are imported when they are first used: whoever needs only the errors does not wait for pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hearth.api.errors import HearthError, ManifestError, ManifestErrors

if TYPE_CHECKING:
    from hearth.api.base import API_VERSION, GROUP
    from hearth.api.core import EnvVar, HostMount, LocalObjectReference, NodeRequirement, Probe, Toleration
    from hearth.api.durations import Duration, format_duration, parse_duration
    from hearth.api.gateway_pod import GatewayPod, parse_gateway_pod
    from hearth.api.manifests import Manifests, Origin, load_manifests, parse_manifests
    from hearth.api.quantities import Quantity, parse_quantity
    from hearth.api.runtime import InferenceRuntime
    from hearth.api.service import LLMService

__all__ = [
    "API_VERSION",
    "GROUP",
    "Duration",
    "EnvVar",
    "GatewayPod",
    "HearthError",
    "HostMount",
    "InferenceRuntime",
    "LLMService",
    "LocalObjectReference",
    "ManifestError",
    "ManifestErrors",
    "Manifests",
    "NodeRequirement",
    "Origin",
    "Probe",
    "Quantity",
    "Toleration",
    "format_duration",
    "load_manifests",
    "parse_duration",
    "parse_gateway_pod",
    "parse_manifests",
    "parse_quantity",
]

_HOMES = {
    "base": ("API_VERSION", "GROUP"),
    "core": ("EnvVar", "HostMount", "LocalObjectReference", "NodeRequirement", "Probe", "Toleration"),
    "durations": ("Duration", "format_duration", "parse_duration"),
    "gateway_pod": ("GatewayPod", "parse_gateway_pod"),
    "manifests": ("Manifests", "Origin", "load_manifests", "parse_manifests"),
    "quantities": ("Quantity", "parse_quantity"),
    "runtime": ("InferenceRuntime",),
    "service": ("LLMService",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
