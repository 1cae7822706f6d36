"""The plan of a service: everything that follows from it, a runtime and a vendor, computed once and used by all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hearth.api import EnvVar, InferenceRuntime, LLMService
from hearth.planning.lifecycle import Ending
from hearth.planning.options import PlanOptions, Scaler
from hearth.planning.probes import Probes
from hearth.planning.reason import Reason
from hearth.planning.scaling import Scaling
from hearth.planning.target import Target
from hearth.plugins import MetricsEndpoint, RenderContext, ResolvedModel, VendorInfo


@dataclass(frozen=True, slots=True)
class Draft:
    """The decisions of a plan, from which its objects and its words are made.

    `pod` is the merged pod template on the wire form (`metadata`, `spec`); its first container is `serving`.
    `gateway` is the service's entry of the gateway's services file. `devices` counts the devices of one replica as its
    engine does. `metrics` is where the engine's metrics are, None when neither runtime nor vendor says so.
    `no_device_env` is the environment of pods that run the image without a device.
    """

    service: LLMService
    runtime: InferenceRuntime
    vendor: VendorInfo
    model: ResolvedModel
    target: Target
    options: PlanOptions
    pod: Mapping[str, Any]
    probes: Probes
    metrics: MetricsEndpoint | None
    gateway: Mapping[str, Any]
    scaling: Scaling
    ending: Ending
    devices: int
    no_device_env: tuple[EnvVar, ...]

    @property
    def scaler(self) -> Scaler:
        """The way in which KEDA learns of this service's demand."""
        return self.service.spec.scaling.scaler or self.options.scaler

    @property
    def context(self) -> RenderContext:
        """The arguments of the vendor's hooks."""
        return RenderContext(self.service, self.runtime, self.model)

    @property
    def serving(self) -> Mapping[str, Any]:
        """The serving container, on the wire form."""
        container: Mapping[str, Any] = self.pod["spec"]["containers"][0]
        return container


@dataclass(frozen=True, slots=True)
class Plan(Draft):
    """A draft with the objects and the words that follow from it: what will run, and why.

    `objects` are the Kubernetes objects of this service in the order of applying, without those of the gateway that it
    shares with others (`plan_namespace`); none for the local target.
    """

    objects: tuple[Mapping[str, Any], ...]
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(
        cls,
        draft: Draft,
        *,
        objects: tuple[Mapping[str, Any], ...],
        reasons: tuple[Reason, ...],
        warnings: tuple[str, ...],
    ) -> Plan:
        """Return the plan that a draft becomes."""
        decisions = {field.name: getattr(draft, field.name) for field in fields(Draft)}
        return cls(**decisions, objects=objects, reasons=reasons, warnings=warnings)
