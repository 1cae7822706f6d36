"""The core Services of an LLMService and of gateways: the addresses of clients, backends and KEDA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning.gateway.gateway import HTTP_PORT, SCALER_PORT, SCALER_PORT_NUMBER, Gateway
from hearth.planning.labels import object_metadata, selector_labels
from hearth.planning.names import backend_name


def client_service(service: LLMService, runtime: InferenceRuntime, gateway: Gateway) -> Mapping[str, Any]:
    """Return the Service that clients use: `http://NAME.NAMESPACE.svc/v1`, answered by the gateway.

    For a gateway of its own it is also where KEDA asks, and how the gateway's replicas find each other.
    """
    metadata = object_metadata(service, runtime, service.metadata.name)
    own = gateway.replicas_service == service.metadata.name
    return _service(metadata, gateway.selector, [_HTTP, _SCALER] if own else [_HTTP])


def backend_service(service: LLMService, runtime: InferenceRuntime) -> Mapping[str, Any]:
    """Return the Service whose EndpointSlices tell the gateway the addresses of the backends.

    Slices list pods that are not ready too, and say so. `publishNotReadyAddresses` would call them ready: the gateway
    could not tell the difference any more, and clients of the Service's own address would reach an engine that loads.
    """
    port = _port(HTTP_PORT, 80, runtime.spec.container.port.name)
    return _service(object_metadata(service, runtime, backend_name(service)), selector_labels(service), [port])


def gateway_service(gateway: Gateway) -> Mapping[str, Any]:
    """Return the Service of a shared gateway: one address for all models of its namespace, told apart by `model`.

    KEDA asks here for the demand of every one of them. The EndpointSlices, with both ports, are also how the gateway's
    replicas find each other.
    """
    return _service(gateway.metadata(), gateway.selector, [_HTTP, _SCALER])


def _port(name: str, number: int, target: str) -> Mapping[str, Any]:
    return {"name": name, "port": number, "targetPort": target, "protocol": "TCP"}


_HTTP = _port(HTTP_PORT, 80, HTTP_PORT)
_SCALER = _port(SCALER_PORT, SCALER_PORT_NUMBER, SCALER_PORT)


def _service(
    metadata: Mapping[str, Any], selector: Mapping[str, str], ports: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"type": "ClusterIP", "selector": dict(selector), "ports": [dict(port) for port in ports]},
    }
