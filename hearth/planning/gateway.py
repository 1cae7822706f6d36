"""Which gateway serves a service, and the service's entry in the gateway's services document (without endpoints)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hearth.api import InferenceRuntime, LLMService, Probe
from hearth.api.service import Limits
from hearth.planning.labels import GATEWAY_LABEL, helper_labels, object_metadata
from hearth.planning.names import SHARED_GATEWAY, gateway_name, gateway_service_name

HTTP_PORT = "http"
HTTP_PORT_NUMBER = 8080
SCALER_PORT = "scaler"
SCALER_PORT_NUMBER = 9090

_PATH = "/?&=%:@!$'()*+,;~[]"
"""What a path and its query may hold beside letters and digits."""

_SHORTEST_WAIT = 0.001
"""Seconds. The gateway wants a time above 0; an activation timeout of 0 means not to wait."""


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
        return {GATEWAY_LABEL: self.label}

    @property
    def pod_labels(self) -> Mapping[str, str]:
        return helper_labels(self.name, GATEWAY_LABEL, self.label)

    def metadata(self) -> Mapping[str, Any]:
        return {"name": self.name, **self.base}


def shared_gateway(namespace: str, pull_secrets: Iterable[str] = ()) -> Gateway:
    """Return the gateway of a namespace. What its pods are made of says nothing about the services that it serves:
    a service that comes or goes must not restart it."""
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


def gateway_entry(service: LLMService, readiness: Probe) -> Mapping[str, Any]:
    """Return the entry. The probe while cold asks the readiness probe's path; the gateway's own pace is kept."""
    endpoint = service.spec.endpoint
    entry: dict[str, Any] = {"name": service.metadata.name, "namespace": service.metadata.namespace}
    aliases = own_aliases(service)
    if aliases:
        entry["aliases"] = list(aliases)
    entry["coldStart"] = {
        "mode": endpoint.cold_start.mode,
        "heartbeatIntervalSeconds": endpoint.cold_start.heartbeat_interval.seconds,
    }
    entry["activationTimeoutSeconds"] = max(service.spec.scaling.activation_timeout.seconds, _SHORTEST_WAIT)
    if endpoint.limits != Limits():
        entry["limits"] = endpoint.limits.to_wire()
    if readiness.http_get is not None:
        path = quote(readiness.http_get.path or "/", safe=_PATH)
        entry["probe"] = {"path": path if path.startswith("/") else f"/{path}"}
    return entry


def own_aliases(service: LLMService) -> tuple[str, ...]:
    """Return the aliases that the gateway can use: no blanks around them, not the service's own name, each once."""
    aliases = dict.fromkeys(service.spec.endpoint.aliases)
    return tuple(
        alias for alias in aliases if alias != service.metadata.name and alias.isprintable() and alias == alias.strip()
    )
