"""The Kubernetes types that manifests of Hearth contain: small models of what is used, with Kubernetes' own names."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema, field_validator

from hearth.api.base import AtMost, Count, Items, Model, PortNumber, PositiveCount, Text
from hearth.api.names import PORT_NAME, EnvironmentName, LabelKey, SubdomainName, check_port_name
from hearth.api.quantities import Quantity
from hearth.api.rejection import rejected
from hearth.api.wording import named, quoted


def _port_reference(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool):
        if 1 <= value <= 65535:
            return value
        raise rejected(f"{value} is not a port number", "use 1 to 65535")
    if isinstance(value, str):
        if value.isdecimal():
            raise rejected(f"{named(value)} is a port number in quotes", f"write {value} without the quotes")
        return check_port_name(value)
    raise rejected(f"{named(value)} is not a port", "write a port number, or the name of a container port such as http")


PortReference = Annotated[
    int | str,
    PlainValidator(_port_reference),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 15,
            "maximum": 65535,
            "minimum": 1,
            "pattern": PORT_NAME,
            "x-kubernetes-int-or-string": True,
        }
    ),
]
"""A port number or the name of a container port."""


def _absolute(value: str) -> str:
    if not value.startswith("/") or "\0" in value or ".." in value.split("/"):
        raise rejected(f"{quoted(value)} is not an absolute path", "begin it with '/' and leave out '..'")
    return value


def _absolute_or_empty(value: str) -> str:
    return _absolute(value) if value else value


_ABSOLUTE = r"(/(\.|\.?[^/.][^/]*|\.\.[^/]+)?)+"  # one part after the other, none of them `..`
AbsolutePath = Annotated[
    str, AfterValidator(_absolute), WithJsonSchema({"type": "string", "minLength": 1, "pattern": f"^{_ABSOLUTE}$"})
]
"""A path from the root, without `..`."""


class LocalObjectReference(Model):
    """The name of an object in the same namespace."""

    name: SubdomainName = Field(description="Name of the object.")


class KeySelector(Model):
    """A key of a ConfigMap or Secret in the same namespace."""

    name: SubdomainName = Field(description="Name of the ConfigMap or Secret.")
    key: Text = Field(description="Key in it.")
    optional: bool | None = Field(None, description="Whether it may be absent.")


class ObjectFieldSelector(Model):
    """A field of the pod."""

    field_path: Text = Field(description="Path of the field, such as metadata.name.")
    api_version: str | None = Field(None, description="Version of the pod's API; v1 when absent.")


class ResourceFieldSelector(Model):
    """A resource of the container."""

    resource: Text = Field(description="Resource, such as limits.memory.")
    container_name: str | None = Field(None, description="Name of the container.")
    divisor: Quantity | None = Field(None, description="Unit of the value; 1 when absent.")


class EnvVarSource(Model):
    """Where Kubernetes takes the value of an environment variable from."""

    config_map_key_ref: KeySelector | None = Field(None, description="A key of a ConfigMap.")
    field_ref: ObjectFieldSelector | None = Field(None, description="A field of the pod.")
    resource_field_ref: ResourceFieldSelector | None = Field(None, description="A resource of the container.")
    secret_key_ref: KeySelector | None = Field(None, description="A key of a Secret.")


class EnvVar(Model):
    """An environment variable: a literal value, or a source that Kubernetes resolves."""

    name: EnvironmentName = Field(description="Name of the variable.")
    value: str | None = Field(None, description="Literal value; may use the templates of the container.")
    value_from: EnvVarSource | None = Field(None, description="Source of the value; passed on untouched.")

    @field_validator("value_from")
    @classmethod
    def _one_origin(cls, source: EnvVarSource | None, info: ValidationInfo) -> EnvVarSource | None:
        if source is not None and info.data.get("value"):
            raise rejected("it is given beside a value", "keep either value or valueFrom")
        return source


class HTTPHeader(Model):
    """A header of a probe's request."""

    name: Text = Field(description="Name of the header.")
    value: str = Field(description="Value of the header.")


class HTTPGetAction(Model):
    """A probe that asks over HTTP; 200 to 399 is success."""

    path: str | None = Field(None, description="Path to ask for; / when absent.")
    port: PortReference = Field(description="Port number or name.")
    host: str | None = Field(None, description="Host to ask; the pod's address when absent.")
    scheme: Literal["HTTP", "HTTPS"] | None = Field(None, description="HTTP when absent.")
    http_headers: Items[HTTPHeader] = Field((), description="Headers of the request.")


class TCPSocketAction(Model):
    """A probe that succeeds when the port accepts a connection."""

    port: PortReference = Field(description="Port number or name.")
    host: str | None = Field(None, description="Host to connect to; the pod's address when absent.")


class ExecAction(Model):
    """A probe that runs a command; exit status 0 is success."""

    command: Items[str] = Field((), description="Command and arguments, without a shell.")


class GRPCAction(Model):
    """A probe of the gRPC health service."""

    port: PortNumber = Field(description="Port number.")
    service: str | None = Field(None, description="Service to ask about.")


class Probe(Model):
    """A health check, as Kubernetes has it. What is left out is filled by the vendor or by Hearth's defaults."""

    http_get: HTTPGetAction | None = Field(None, description="Ask over HTTP.")
    tcp_socket: TCPSocketAction | None = Field(None, description="Connect over TCP.")
    exec: ExecAction | None = Field(None, description="Run a command in the container.")
    grpc: GRPCAction | None = Field(None, description="Ask the gRPC health service.")
    initial_delay_seconds: Count | None = Field(None, description="Wait before the first check.")
    timeout_seconds: PositiveCount | None = Field(None, description="Time for one check.")
    period_seconds: PositiveCount | None = Field(None, description="Time between checks.")
    success_threshold: PositiveCount | None = Field(None, description="Successes in a row that mean healthy.")
    failure_threshold: PositiveCount | None = Field(None, description="Failures in a row that mean unhealthy.")
    termination_grace_period_seconds: PositiveCount | None = Field(
        None, description="Grace period when this probe ends the container."
    )

    @field_validator("tcp_socket", "exec", "grpc")
    @classmethod
    def _one_handler(cls, handler: Model | None, info: ValidationInfo) -> Model | None:
        earlier = [
            cls.model_fields[name].alias for name in ("http_get", "tcp_socket", "exec", "grpc") if info.data.get(name)
        ]
        if handler is not None and earlier:
            raise rejected(f"it is given beside {earlier[0]}", "a probe checks in one way; keep one of them")
        return handler


class Toleration(Model):
    """A taint that the pods accept, as Kubernetes has it."""

    key: str | None = Field(None, description="Key of the taint; every taint when absent.")
    operator: Literal["Exists", "Equal", "Lt", "Gt"] | None = Field(None, description="Equal when absent.")
    value: str | None = Field(None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; every effect when absent."
    )
    toleration_seconds: int | None = Field(None, description="How long a NoExecute taint is tolerated.")


class NodeRequirement(Model):
    """A condition on the labels of a node, as the node affinity of Kubernetes has it."""

    key: LabelKey = Field(description="Label of the node.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(description="Kind of condition.")
    values: Items[Annotated[str, AtMost(63)]] = Field(
        (), description="Values for In and NotIn, one whole number for Gt and Lt.", validate_default=True
    )

    @field_validator("values")
    @classmethod
    def _fit_the_operator(cls, values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        operator = info.data.get("operator")
        if operator in ("In", "NotIn") and not values:
            raise rejected(f"{operator} needs at least one value", "list the values of the label")
        if operator in ("Gt", "Lt") and not (len(values) == 1 and re.fullmatch(r"-?[0-9]+", values[0])):
            raise rejected(f"{operator} compares with one whole number", 'write it in quotes, such as ["40000"]')
        if operator in ("Exists", "DoesNotExist") and values:
            raise rejected(f"{operator} takes no values", "remove them, or use In")
        return values


class HostMount(Model):
    """A file or directory of the node that appears in the container, as vendors' drivers need it."""

    host_path: AbsolutePath = Field(description="Absolute path on the node.")
    mount_path: Annotated[
        str,
        AfterValidator(_absolute_or_empty),
        WithJsonSchema({"type": "string", "pattern": f"^({_ABSOLUTE})?$"}),
    ] = Field("", description="Absolute path in the container; the same as on the node when empty.")
    type: Literal["", "Directory", "File", "DirectoryOrCreate", "FileOrCreate", "Socket", "CharDevice"] = Field(
        "", description="What must be there; anything when empty."
    )
    read_only: bool = Field(default=True, description="Whether the container may only read it.")
