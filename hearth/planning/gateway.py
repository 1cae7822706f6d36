"""The gateway's entry for a service, in the form of its services file (without endpoints)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth.api import LLMService, Probe
from hearth.api.service import Limits


def gateway_entry(service: LLMService, readiness: Probe) -> Mapping[str, Any]:
    """Return the entry. The probe while cold asks the readiness probe's path; the gateway's own pace is kept."""
    endpoint = service.spec.endpoint
    entry: dict[str, Any] = {"name": service.metadata.name, "namespace": service.metadata.namespace}
    if endpoint.aliases:
        entry["aliases"] = list(endpoint.aliases)
    entry["coldStart"] = {
        "mode": endpoint.cold_start.mode,
        "heartbeatIntervalSeconds": endpoint.cold_start.heartbeat_interval.seconds,
    }
    entry["activationTimeoutSeconds"] = service.spec.scaling.activation_timeout.seconds
    if endpoint.limits != Limits():
        entry["limits"] = endpoint.limits.to_wire()
    if readiness.http_get is not None:
        entry["probe"] = {"path": readiness.http_get.path or "/"}
    return entry
