"""InferenceRuntime: an engine on a vendor's accelerators, described as data. It belongs to the whole cluster."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from hearth.api.base import ALPHA, Items, Model, PortNumber, PositiveCount, Text
from hearth.api.core import EnvVar, NodeRequirement, PortReference, Probe, Toleration
from hearth.api.metadata import ApiObject, ClusterObjectMeta, Condition
from hearth.api.names import (
    EnvironmentName,
    LabelName,
    Labels,
    PortName,
    ResourceName,
)
from hearth.api.pod import Pod
from hearth.api.quantities import Quantity
from hearth.api.rejection import rejected
from hearth.api.wording import quoted


class ContainerPort(Model):
    """The port on which the engine serves."""

    name: PortName = Field("http", description="Name of the port.")
    container_port: PortNumber = Field(8000, description="Number of the port.")


class Container(Model):
    """The serving container.

    Arguments, the command and literal environment values may use templates: `{{ .Model.Path }}`, `{{ .Service.Name }}`,
    `{{ .Service.Namespace }}`.
    """

    image: Text = Field(
        description="Image of the engine; `{{ .Image.Registry }}` is the registry of Hearth's own images."
    )
    command: Items[str] = Field((), description="Replaces the entrypoint of the image.", json_schema_extra=ALPHA)
    args: Items[str] = Field((), description="Arguments of the engine.")
    env: Items[EnvVar] = Field((), description="Environment of the engine.")
    port: ContainerPort = Field(default_factory=ContainerPort, description="The port on which the engine serves.")


class SharedAmount(Model):
    """How a part of an accelerator is asked for: a resource that counts units."""

    resource_name: ResourceName = Field(description="Extended resource that counts the units.")
    unit: Quantity = Field(
        Quantity(Decimal(2**20), "binary"),
        description="Amount of one unit, such as 1Mi, 256Mi or 1Gi of memory; a request is rounded up to whole units.",
    )

    @field_validator("unit")
    @classmethod
    def _positive(cls, unit: Quantity) -> Quantity:
        if unit.value <= 0:
            raise rejected(f"{unit} is not a unit", "write an amount above 0, such as 1Mi")
        return unit


class Sharing(Model):
    """Whether and how services can share one accelerator."""

    supported: bool = Field(default=False, description="Whether a service may ask for a fraction.")
    resource_name: ResourceName | None = Field(
        None,
        description="Extended resource that counts accelerators when a fraction is asked for; "
        "accelerator.resourceName when absent. With a vendor's plugin, the plugin knows.",
        json_schema_extra=ALPHA,
    )
    memory: SharedAmount | None = Field(
        None, description="How `fraction.memory` is asked for.", json_schema_extra=ALPHA
    )
    cores_resource_name: ResourceName | None = Field(
        None, description="Extended resource of `fraction.cores`.", json_schema_extra=ALPHA
    )
    max_accelerators: PositiveCount = Field(
        1, description="Most accelerators of which one service may have a part each.", json_schema_extra=ALPHA
    )


class Scheduler(Model):
    """The scheduler of the pods."""

    name: Text | None = Field(None, description="Name of the scheduler; the cluster's default when absent.")
    queue: Text | None = Field(None, description="Queue of the scheduler; only with volcano.")

    @field_validator("queue")
    @classmethod
    def _queue_needs_volcano(cls, queue: str | None, info: ValidationInfo) -> str | None:
        # `name` is missing from the data when it failed itself; one error is then enough.
        if queue is not None and "name" in info.data and info.data["name"] != "volcano":
            raise rejected(
                f"{quoted(queue)} is a queue, and scheduler {info.data['name'] or 'default'!r} has none",
                "set scheduler.name: volcano or remove the queue",
            )
        return queue


class Accelerator(Model):
    """The accelerator that the engine runs on."""

    resource_name: ResourceName = Field(description="Extended resource that the device plugin advertises.")
    sharing: Sharing = Field(default_factory=Sharing, description="Whether and how services can share one accelerator.")
    node_selector: Labels = Field(
        default_factory=dict, description="Labels of the nodes that have it; also for prewarm pods."
    )
    tolerations: Items[Toleration] = Field((), description="Taints of those nodes; also for prewarm pods.")
    scheduler: Scheduler = Field(default_factory=Scheduler, description="The scheduler of the pods.")
    node_requirements: Annotated[Items[NodeRequirement], Field(max_length=64)] = Field(
        (),
        description="Conditions on the nodes' labels that a selector cannot say; all must hold. Also for prewarm pods.",
        json_schema_extra=ALPHA,
    )
    dies: PositiveCount = Field(
        1,
        description="Devices of one accelerator, where the device plugin and the engine count dies and not cards: the "
        "request and --tensor-parallel-size are multiplied by it.",
        json_schema_extra=ALPHA,
    )


class Health(Model):
    """The probes of the container. Readiness and startup ask GET /health on the port unless said otherwise."""

    readiness: Probe | None = Field(None, description="Whether requests may be sent.")
    liveness: Probe | None = Field(None, description="Whether the container must be restarted; no probe when absent.")
    startup: Probe | None = Field(None, description="Whether the start is over; up to 60 checks, 10 s apart.")


class Lifecycle(Model):
    """How a backend ends."""

    termination_grace_period_seconds: PositiveCount | None = Field(
        None, description="Time from the first signal to the kill; widened to drainTimeout + 10 s when draining."
    )
    pre_stop_drain: bool = Field(
        default=False,
        description="Whether requests in flight are given `scaling.drainTimeout` before the first signal.",
    )


class Metrics(Model):
    """The engine's metrics, by the names that it uses."""

    path: str = Field("/metrics", description="Path of the metrics.")
    port: PortReference = Field("http", description="Port number or name.")
    queue_depth: Text = Field(description="Metric of the requests that wait in the engine.")
    kv_cache_util: Text | None = Field(None, description="Metric of the KV cache in use, 0 to 1.")
    running: Text | None = Field(None, description="Metric of the requests that run.")
    ttft: Text | None = Field(None, description="Histogram of the time to the first token, in seconds.")


class LocalRun(Model):
    """How the runtime runs as a process on one machine, when no plugin says it."""

    command: Annotated[Items[Text], Field(min_length=1)] = Field(
        description="Command in place of the image's entrypoint; the container's args follow it."
    )
    env: Items[EnvVar] = Field(
        (),
        description="Environment variables beside those of the container; `{{ .Devices }}` is the ids joined by commas.",
    )
    devices: Items[Text] = Field((), description="Ids of the accelerators of this machine.")
    visible_devices_env: EnvironmentName | None = Field(
        None, description="Variable that tells the engine which of them to use, ids joined by commas."
    )


class InferenceRuntimeSpec(Model):
    """The engine, the accelerator and how both are run."""

    family: Literal["vllm"] = Field("vllm", description="Engine family.")
    vendor: LabelName = Field(description="Key of the vendor, as in its plugin.")
    priority: int = Field(
        0, ge=-(2**31), le=2**31 - 1, description="Among the runtimes of a vendor the highest priority wins."
    )
    adapter: Literal["plugin", "generic"] = Field(
        "plugin",
        description="plugin: the vendor's plugin adapts the pods; generic: this runtime's data is complete.",
        json_schema_extra=ALPHA,
    )
    container: Container = Field(description="The serving container.")
    accelerator: Accelerator = Field(description="The accelerator that the engine runs on.")
    health: Health = Field(default_factory=Health, description="The probes of the container.")
    lifecycle: Lifecycle = Field(default_factory=Lifecycle, description="How a backend ends.")
    metrics: Metrics | None = Field(None, description="The engine's metrics.")
    pod: Pod = Field(
        default_factory=Pod, description="What the pods need around their devices.", json_schema_extra=ALPHA
    )
    local: LocalRun | None = Field(
        None, description="How the runtime runs as a process on one machine.", json_schema_extra=ALPHA
    )


class InferenceRuntimeStatus(Model):
    """Observed state."""

    conditions: Items[Condition] = Field((), description="Conditions by type.")


class InferenceRuntime(ApiObject):
    """An engine on a vendor's accelerators, described as data."""

    kind: Literal["InferenceRuntime"] = Field("InferenceRuntime", description="Kind of the object.")
    metadata: ClusterObjectMeta = Field(description="Name and labels.")
    spec: InferenceRuntimeSpec = Field(description="The engine, the accelerator and how both are run.")
    status: InferenceRuntimeStatus | None = Field(None, description="Observed state; set by Hearth.")
