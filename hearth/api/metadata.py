"""The fields that both kinds share: `apiVersion`, `kind` and `metadata`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, JsonValue

from hearth.api.base import API_VERSION, Count, Items, Model
from hearth.api.names import Annotations, LabelName, Labels, RuntimeName, ServiceName


class Metadata(Model):
    """The parts of Kubernetes' ObjectMeta that both kinds have. What only the server sets is accepted and kept."""

    labels: Labels = Field(default_factory=dict, description="Labels of the object.")
    annotations: Annotations = Field(default_factory=dict, description="Annotations of the object.")
    uid: str | None = Field(None, description="Set by the server.")
    generation: int | None = Field(None, description="Set by the server: counts changes of spec.")
    resource_version: str | None = Field(None, description="Set by the server.")
    creation_timestamp: str | None = Field(None, description="Set by the server.")
    deletion_timestamp: str | None = Field(None, description="Set by the server.")
    deletion_grace_period_seconds: Count | None = Field(None, description="Set by the server.")
    self_link: str | None = Field(None, description="Deprecated in Kubernetes; set by old servers.")
    finalizers: Items[str] = Field((), description="Finalizers of the object.")
    owner_references: Items[dict[str, JsonValue]] = Field((), description="Objects that own this one.")
    managed_fields: Items[dict[str, JsonValue]] = Field((), description="Set by the server.")


class ObjectMeta(Metadata):
    """Name and labels of an object that lives in a namespace."""

    name: ServiceName = Field(
        description="Name of the service: the model name that clients send, and the name of its Kubernetes Service."
    )
    namespace: LabelName = Field("default", description="Namespace of the object.")


class ClusterObjectMeta(Metadata):
    """Name and labels of an object that belongs to the whole cluster."""

    name: RuntimeName = Field(description="Name that `spec.runtime.name` of a service refers to.")
    namespace: str | None = Field(None, description="Ignored, as by Kubernetes: the kind belongs to no namespace.")


class ApiObject(Model):
    """An object of the API."""

    api_version: Literal["serving.hearth.dev/v1alpha1"] = Field(API_VERSION, description="Version of the API.")

    def to_wire(self, *, defaults: bool = True) -> dict[str, Any]:
        """Return the object as a manifest has it; `defaults=False` leaves out what the defaults already say."""
        wire = super().to_wire(defaults=defaults)
        return {"apiVersion": self.api_version, "kind": type(self).__name__, **wire}


class Condition(Model):
    """One condition of a status, as Kubernetes' meta/v1 Condition."""

    type: str = Field(description="Name of the condition, such as Ready.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: Count | None = Field(None, description="The metadata.generation that was observed.")
    last_transition_time: str | None = Field(None, description="When `status` changed last (RFC 3339).")
    reason: str = Field("", description="The reason, one word in CamelCase.")
    message: str = Field("", description="A sentence that a user can act on.")
