"""The two kinds that users write, and how they are read: nothing else in Hearth knows the names on the wire."""

from __future__ import annotations

from hearth.api.base import API_VERSION, GROUP
from hearth.api.core import EnvVar, HostMount, LocalObjectReference, Probe, Toleration
from hearth.api.durations import Duration, format_duration, parse_duration
from hearth.api.errors import HearthError, ManifestError, ManifestErrors
from hearth.api.manifests import Manifests, Origin, load_manifests, parse_manifests
from hearth.api.quantities import Quantity, parse_quantity
from hearth.api.runtime import InferenceRuntime
from hearth.api.service import LLMService

__all__ = [
    "API_VERSION",
    "GROUP",
    "Duration",
    "EnvVar",
    "HearthError",
    "HostMount",
    "InferenceRuntime",
    "LLMService",
    "LocalObjectReference",
    "ManifestError",
    "ManifestErrors",
    "Manifests",
    "Origin",
    "Probe",
    "Quantity",
    "Toleration",
    "format_duration",
    "load_manifests",
    "parse_duration",
    "parse_manifests",
    "parse_quantity",
]
