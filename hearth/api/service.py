"""LLMService: one model, served at one endpoint, from zero to `scaling.max` replicas.

A parent that is left out (`spec.scaling`, say) is filled with the defaults of its fields. This is deliberate: with
a CRD whose defaults sit on the leaves only, an absent parent stays absent and every reader has to know the defaults.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from hearth.api.base import ALPHA, AtMost, Count, Items, Model, PositiveCount, Text
from hearth.api.core import LocalObjectReference
from hearth.api.durations import Duration
from hearth.api.metadata import ApiObject, Condition, ObjectMeta
from hearth.api.names import LabelName, RuntimeName, SubdomainName
from hearth.api.phase import Phase
from hearth.api.quantities import Quantity
from hearth.api.rejection import rejected

_ZERO = Duration(0)
_HOUR = Duration(3600 * 10**9)


class ModelSource(Model):
    """Where the weights come from."""

    uri: Annotated[Text, AtMost(2048)] = Field(
        description="`hf://` (or `huggingface://`), `modelscope://`, `pvc://<claim>[/<subpath>]`, `file:///<path>`."
    )
    secret_ref: LocalObjectReference | None = Field(None, description="Secret with the credentials of the source.")


class ModelSpec(Model):
    """The model to serve."""

    catalog_ref: Text | None = Field(None, description="Name of an entry of a model catalog.")
    source: ModelSource | None = Field(None, description="Where the weights come from.")


class RuntimeSelector(Model):
    """Chooses a runtime by vendor."""

    vendor: Items[LabelName] = Field(
        (),
        description="Vendors in order of preference; within a vendor the runtime with the highest priority wins.",
    )


class RuntimeSpec(Model):
    """The runtime that serves the model; any usable runtime by default."""

    name: RuntimeName | None = Field(None, description="Exact name of an InferenceRuntime.")
    selector: RuntimeSelector = Field(default_factory=RuntimeSelector, description="Chooses a runtime by vendor.")
    args_override: Items[str] = Field((), description="Arguments appended after those of the runtime.")


class Fraction(Model):
    """A part of one accelerator."""

    memory: Quantity | None = Field(None, description="Memory of the accelerator.")
    cores: PositiveCount | None = Field(None, description="Cores of the accelerator, in the unit of its vendor.")

    @field_validator("memory")
    @classmethod
    def _positive(cls, memory: Quantity | None) -> Quantity | None:
        if memory is not None and memory.value <= 0:
            raise rejected(f"{memory} is not a part of a memory", "write an amount above 0, such as 16Gi")
        return memory


class Resources(Model):
    """Resources of each replica."""

    accelerators: PositiveCount = Field(1, description="Whole accelerators.")
    fraction: Fraction | None = Field(None, description="A part of an accelerator in place of whole ones.")
    cpu: Quantity | None = Field(None, description="CPU request.")
    memory: Quantity | None = Field(None, description="Memory request and limit.")

    @field_validator("cpu", "memory")
    @classmethod
    def _positive(cls, quantity: Quantity | None) -> Quantity | None:
        if quantity is not None and quantity.value <= 0:
            raise rejected(f"{quantity} is not a positive quantity", "write an amount above 0 or leave the field out")
        return quantity


class Scaling(Model):
    """How many replicas run, and when."""

    min: Count = Field(0, description="Fewest replicas; 0 means that an idle service holds no accelerator.")
    max: PositiveCount = Field(1, description="Most replicas.", validate_default=True)
    metric: Literal["queueDepth", "kvCacheUtil"] = Field("queueDepth", description="What is measured.")
    target: PositiveCount = Field(10, description="Wanted value of the metric per replica.")
    activation_timeout: Duration = Field(
        Duration.from_seconds(300),
        description="keepalive: how long a request waits for a cold service; reject: how long its demand counts after "
        "the 503.",
    )
    scale_down_stabilization: Duration = Field(
        Duration.from_seconds(300),
        description="How long demand must stay low before replicas are removed, the last one included; whole "
        "seconds, at most 1h.",
    )
    drain_timeout: Duration = Field(
        Duration.from_seconds(120),
        description="How long requests in flight may take after termination starts, when the runtime drains.",
    )
    scaler: Literal["push", "metrics-api"] | None = Field(
        None,
        description="How KEDA learns of demand: push: the gateway reports it at once; metrics-api: KEDA polls every 5 s. "
        "The cluster's setting when absent.",
        json_schema_extra=ALPHA,
    )

    @field_validator("max")
    @classmethod
    def _min_fits(cls, most: int, info: ValidationInfo) -> int:
        fewest = info.data.get("min", 0)
        if fewest > most:
            raise rejected(
                f"{fewest} is larger than spec.scaling.max: {most}", "lower min or raise max", field="min", value=fewest
            )
        return most

    @field_validator("activation_timeout", "drain_timeout")
    @classmethod
    def _not_negative(cls, duration: Duration) -> Duration:
        if duration < _ZERO:
            raise rejected(f"{duration} is negative", "write 0s or more")
        return duration

    @field_validator("scale_down_stabilization")
    @classmethod
    def _window(cls, duration: Duration) -> Duration:
        if not _ZERO <= duration <= _HOUR:
            raise rejected(f"{duration} is outside 0s to 1h", "write whole seconds in that range")
        if duration.nanoseconds % 10**9:
            raise rejected(f"{duration} is not a whole number of seconds", f"write {round(duration.seconds)}s")
        return duration


class Cache(Model):
    """Where downloaded weights are kept between starts."""

    strategy: Literal["NodeLocalPVC", "HostPath", "SharedPVC", "BakedImage", "None"] = Field(
        "NodeLocalPVC", description="Kind of cache."
    )
    size: Quantity | None = Field(None, description="Size of the volume; 50Gi when absent.")
    storage_class_name: SubdomainName | None = Field(None, description="StorageClass of the volume.")
    prewarm: bool = Field(
        default=False, description="Download the weights once, without an accelerator, before the first use."
    )

    @field_validator("size")
    @classmethod
    def _positive(cls, quantity: Quantity | None) -> Quantity | None:
        if quantity is not None and quantity.value <= 0:
            raise rejected(f"{quantity} is not a positive quantity", "write an amount above 0 or leave the field out")
        return quantity


class ColdStart(Model):
    """What happens to a request while no backend runs."""

    mode: Literal["keepalive", "reject"] = Field(
        "keepalive", description="keepalive: the request is held until a backend answers; reject: 503 with Retry-After."
    )
    heartbeat_interval: Duration = Field(
        Duration.from_seconds(10), description="Time between the heartbeats of a held stream."
    )

    @field_validator("heartbeat_interval")
    @classmethod
    def _positive(cls, duration: Duration) -> Duration:
        if duration <= _ZERO:
            raise rejected(f"{duration} is not above 0s", "write the time between two heartbeats, such as 10s")
        return duration


class Limits(Model):
    """Limits of the gateway for this service; requests beyond them are answered with 429."""

    max_held: Count = Field(100, description="Requests held at once while no backend is ready.")
    max_held_bytes: int = Field(64 * 2**20, ge=0, description="Bytes of the requests held at once.")
    max_in_flight: PositiveCount = Field(1024, description="Requests at the backends at once.")
    max_request_bytes: int = Field(32 * 2**20, ge=1, description="Bytes of one request's body.")


class Endpoint(Model):
    """How clients reach the model."""

    open_ai_compatible: bool = Field(default=True, alias="openAICompatible", description="Informational.")
    cold_start: ColdStart = Field(
        default_factory=ColdStart, description="What happens to a request while no backend runs."
    )
    aliases: Items[Text] = Field((), description="Other model names that clients may send.", json_schema_extra=ALPHA)
    gateway: Literal["shared", "dedicated"] = Field(
        "shared", description="The gateway of the namespace, or one of its own.", json_schema_extra=ALPHA
    )
    limits: Limits = Field(
        default_factory=Limits, description="Limits of the gateway for this service.", json_schema_extra=ALPHA
    )


class LLMServiceSpec(Model):
    """Desired state."""

    model: ModelSpec = Field(description="The model to serve.")
    runtime: RuntimeSpec = Field(default_factory=RuntimeSpec, description="The runtime that serves the model.")
    resources: Resources = Field(default_factory=Resources, description="Resources of each replica.")
    scaling: Scaling = Field(default_factory=Scaling, description="How many replicas run, and when.")
    cache: Cache = Field(default_factory=Cache, description="Where downloaded weights are kept.")
    endpoint: Endpoint = Field(default_factory=Endpoint, description="How clients reach the model.")
    image_pull_secrets: Items[LocalObjectReference] = Field(
        (), description="Secrets for pulling images; put on every pod of the service."
    )


class LLMServiceStatus(Model):
    """Observed state."""

    phase: Phase | None = Field(None, description="Summary in one word.")
    resolved_runtime: str | None = Field(None, description="Name of the runtime that was chosen.")
    replicas: Count | None = Field(None, description="Number of ready replicas.")
    endpoint_url: str | None = Field(None, alias="endpointURL", description="Where clients send requests.")
    conditions: Items[Condition] = Field((), description="Conditions by type; Ready is always among them.")


class LLMService(ApiObject):
    """One model, served at one OpenAI-compatible endpoint, scaled to zero while idle."""

    kind: Literal["LLMService"] = Field("LLMService", description="Kind of the object.")
    metadata: ObjectMeta = Field(description="Name, namespace, labels.")
    spec: LLMServiceSpec = Field(description="Desired state.")
    status: LLMServiceStatus | None = Field(None, description="Observed state; set by Hearth.")
