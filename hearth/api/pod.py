"""The pod fields of an InferenceRuntime: what most chips need around their devices, as data."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue, WithJsonSchema, field_validator

from hearth.api.base import Items, Model
from hearth.api.core import EnvVar, HostMount
from hearth.api.names import Annotations, Labels, ResourceName, SubdomainName
from hearth.api.quantities import SCHEMA, Quantity
from hearth.api.rejection import rejected

SecurityContext = Annotated[
    dict[str, JsonValue], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]
"""A security context as Kubernetes has it; passed on, and checked by the API server."""

_AMOUNTS = WithJsonSchema({"type": "object", "additionalProperties": SCHEMA})


def _not_of_the_service(name: str) -> str:
    if name in ("cpu", "memory"):
        raise rejected(f"{name!r} is for the service to say", f"write it as spec.resources.{name} of the LLMService")
    return name


ExtraLimits = Annotated[dict[Annotated[ResourceName, AfterValidator(_not_of_the_service)], Quantity], _AMOUNTS]
"""Further limits of the container by resource name."""


class SharedMemory(Model):
    """The volume in memory at /dev/shm."""

    enabled: bool | None = Field(
        None,
        description="Whether there is one; when absent, the vendor's plugin decides, and without its word there is.",
    )
    size: Quantity | None = Field(
        None, description="Its bound; when absent 2Gi, 10Gi for several devices, at most half of the memory limit."
    )

    @field_validator("size")
    @classmethod
    def _positive(cls, size: Quantity | None) -> Quantity | None:
        if size is not None and size.value <= 0:
            raise rejected(f"{size} is not a size", "write an amount above 0, or enabled: false")
        return size


class Pod(Model):
    """What the pods need around their devices. Where the vendor's plugin says otherwise, this wins."""

    annotations: Annotations = Field(default_factory=dict, description="Annotations of the pods.")
    labels: Labels = Field(default_factory=dict, description="Labels of the pods.")
    runtime_class_name: SubdomainName | None = Field(
        None, description="RuntimeClass of the pods, where the vendor's container runtime is not the node's default."
    )
    host_mounts: Items[HostMount] = Field((), description="Files and directories of the node.")
    vendor_mounts: bool = Field(
        default=True,
        description="Whether the vendor's plugin may add host mounts of its own; false where the container runtime "
        "brings the driver.",
    )
    shared_memory: SharedMemory = Field(
        default_factory=SharedMemory,
        description="The volume in memory at /dev/shm; it counts against the memory limit.",
    )
    extra_limits: ExtraLimits = Field(
        default_factory=dict, description="Further limits of the container, such as hugepages-2Mi."
    )
    security_context: SecurityContext = Field(
        default_factory=dict, description="Fields of the pod's securityContext, over Hearth's defaults."
    )
    container_security_context: SecurityContext = Field(
        default_factory=dict, description="Fields of the container's securityContext, over Hearth's defaults."
    )
    host_ipc: bool = Field(
        default=False, alias="hostIPC", description="Whether the pods share the node's inter-process communication."
    )
    no_device_env: Items[EnvVar] = Field(
        (),
        description="Environment of pods that run the image without a device, so that its container runtime gives "
        "them none.",
    )
