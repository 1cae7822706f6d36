"""The Services of an LLMService: where clients find it, where the gateway finds the backends, where KEDA finds demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning.gateway import HTTP_PORT, SCALER_PORT, SCALER_PORT_NUMBER, Gateway
from hearth.planning.labels import object_metadata, selector_labels
from hearth.planning.names import backend_name, scaler_name


def client_service(service: LLMService, runtime: InferenceRuntime, gateway: Gateway) -> Mapping[str, Any]:
    """Return the Service that clients use: `http://NAME.NAMESPACE.svc/v1`, answered by the gateway."""
    return _service(
        object_metadata(service, runtime, service.metadata.name), gateway.selector, HTTP_PORT, 80, target=HTTP_PORT
    )


def backend_service(service: LLMService, runtime: InferenceRuntime) -> Mapping[str, Any]:
    """Return the Service whose EndpointSlices tell the gateway the addresses of the backends.

    Slices list pods that are not ready too, and say so. `publishNotReadyAddresses` would call them ready: the gateway
    could not tell the difference any more, and whoever uses the Service's own address would reach an engine that loads.
    """
    return _service(
        object_metadata(service, runtime, backend_name(service)),
        selector_labels(service),
        HTTP_PORT,
        80,
        target=runtime.spec.container.port.name,
    )


def scaler_service(service: LLMService, runtime: InferenceRuntime, gateway: Gateway) -> Mapping[str, Any]:
    """Return the Service at which KEDA's external-push scaler asks the gateway (gRPC)."""
    return _service(
        object_metadata(service, runtime, scaler_name(service)),
        gateway.selector,
        SCALER_PORT,
        SCALER_PORT_NUMBER,
        target=SCALER_PORT,
    )


def gateway_service(gateway: Gateway) -> Mapping[str, Any]:
    """Return the Service of a shared gateway: one address for all models of its namespace, told apart by `model`.

    Its EndpointSlices are also how the gateway's replicas find each other.
    """
    return _service(gateway.metadata(), gateway.selector, HTTP_PORT, 80, target=HTTP_PORT)


def _service(
    metadata: Mapping[str, Any], selector: Mapping[str, str], name: str, port: int, *, target: str
) -> Mapping[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": "ClusterIP",
            "selector": dict(selector),
            "ports": [{"name": name, "port": port, "targetPort": target, "protocol": "TCP"}],
        },
    }
