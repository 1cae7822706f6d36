"""The labels of Hearth's objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.api import API_VERSION, GROUP, InferenceRuntime, LLMService

NAME_LABEL = "app.kubernetes.io/name"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
SERVICE_LABEL = f"{GROUP}/llmservice"
RUNTIME_LABEL = f"{GROUP}/runtime"
GATEWAY_LABEL = f"{GROUP}/gateway"
PREWARM_LABEL = f"{GROUP}/prewarm"

RESERVED_LABELS = frozenset({NAME_LABEL, MANAGED_BY_LABEL})
RESERVED_PREFIX = f"{GROUP}/"


def object_labels(service: LLMService, runtime: InferenceRuntime) -> dict[str, str]:
    """Return the labels of every object of a service."""
    return {
        NAME_LABEL: service.metadata.name,
        MANAGED_BY_LABEL: "hearth",
        SERVICE_LABEL: service.metadata.name,
        RUNTIME_LABEL: runtime.metadata.name,
    }


def selector_labels(service: LLMService) -> dict[str, str]:
    """Return the label of the backends, and of no other pods.

    A Deployment's selector cannot change, so it holds nothing that a new runtime would change.
    """
    return {SERVICE_LABEL: service.metadata.name}


def helper_labels(name: str, label: str, value: str) -> dict[str, str]:
    """Return the labels of pods that are no backends: no selector of backends may match them."""
    return {NAME_LABEL: name, MANAGED_BY_LABEL: "hearth", label: value}


def object_metadata(service: LLMService, runtime: InferenceRuntime, name: str) -> Mapping[str, Any]:
    """Return the metadata of an object of a service; owned by it when it has a uid (it comes from an API server)."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": service.metadata.namespace,
        "labels": object_labels(service, runtime),
    }
    if service.metadata.uid:
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": "LLMService",
                "name": service.metadata.name,
                "uid": service.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
    return metadata
