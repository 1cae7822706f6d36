"""Gateways in a cluster: which one serves a service, and what its objects are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning.labels import GATEWAY_LABEL, helper_labels, object_metadata
from hearth.planning.names import SHARED_GATEWAY, gateway_name, gateway_service_name

HTTP_PORT = "http"
HTTP_PORT_NUMBER = 8080
SCALER_PORT = "scaler"
SCALER_PORT_NUMBER = 9090


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway in the cluster.

    `name` is that of its objects, `label` the value of `serving.hearth.dev/gateway` on its pods. `replicas_service` is
    the Service whose EndpointSlices list its replicas. `base` is the metadata of its objects without a name.
    """

    name: str
    label: str
    replicas_service: str
    base: Mapping[str, Any]
    pull_secrets: tuple[str, ...] = field(default=())

    @property
    def selector(self) -> Mapping[str, str]:
        """The labels that select its pods."""
        return {GATEWAY_LABEL: self.label}

    @property
    def pod_labels(self) -> Mapping[str, str]:
        """The labels of its pods."""
        return helper_labels(self.name, GATEWAY_LABEL, self.label)

    def metadata(self) -> Mapping[str, Any]:
        """Return the metadata of its objects."""
        return {"name": self.name, **self.base}


def shared_gateway(namespace: str, pull_secrets: Iterable[str] = ()) -> Gateway:
    """Return the gateway of a namespace.

    Its pods depend on none of the services that it serves: a service that is added or deleted must not restart it.
    """
    labels = helper_labels(SHARED_GATEWAY, GATEWAY_LABEL, SHARED_GATEWAY)
    return Gateway(
        SHARED_GATEWAY,
        SHARED_GATEWAY,
        SHARED_GATEWAY,
        {"namespace": namespace, "labels": labels},
        tuple(sorted(set(pull_secrets))),
    )


def gateway_of(service: LLMService, runtime: InferenceRuntime) -> Gateway:
    """Return the gateway that serves a service: the namespace's, or its own (`spec.endpoint.gateway: dedicated`)."""
    if service.spec.endpoint.gateway == "shared":
        return shared_gateway(service.metadata.namespace)
    name = gateway_name(service)
    base = {key: value for key, value in object_metadata(service, runtime, name).items() if key != "name"}
    secrets = tuple(sorted({secret.name for secret in service.spec.image_pull_secrets}))
    return Gateway(name, service.metadata.name, gateway_service_name(service), base, secrets)
