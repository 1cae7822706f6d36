"""The plan: everything that follows from a service, a runtime and a vendor, computed once and used by all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hearth.api import EnvVar, InferenceRuntime, LLMService
from hearth.planning.options import PlanOptions, Scaler
from hearth.planning.probes import Probes
from hearth.planning.scaling import Scaling
from hearth.planning.target import Target
from hearth.plugins import MetricsEndpoint, RenderContext, ResolvedModel, VendorInfo


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be, and why.

    `pod` is the merged pod template on the wire form (`metadata`, `spec`); its first container is `serving`.
    `objects` are the Kubernetes objects of this service in the order of applying, without those of the gateway that it
    shares with others (`plan_namespace`); none for the local target. `gateway` is the service's entry of the gateway's
    services file. `devices` counts the devices of one replica as its engine does.
    `metrics` is where the engine's metrics are, None when nobody says. `no_device_env` is the environment of pods that
    run the image without a device. `notice` is a sentence for clients who wait, see `with_notice`.
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
    objects: tuple[Mapping[str, Any], ...]
    gateway: Mapping[str, Any]
    scaling: Scaling
    devices: int
    no_device_env: tuple[EnvVar, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    notice: str | None = None

    @property
    def scaler(self) -> Scaler:
        """How KEDA learns of this service's demand."""
        return self.service.spec.scaling.scaler or self.options.scaler

    @property
    def context(self) -> RenderContext:
        """What the vendor's hooks are told."""
        return RenderContext(self.service, self.runtime, self.model)

    @property
    def serving(self) -> Mapping[str, Any]:
        """The serving container, on the wire form."""
        container: Mapping[str, Any] = self.pod["spec"]["containers"][0]
        return container
