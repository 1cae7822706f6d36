"""The entry of a service in the gateway's services document, without endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from hearth.api import LLMService, Probe

_PATH = "/?&=%:@!$'()*+,;~[]"
"""Characters of a path and its query, beside letters and digits, that stay unquoted."""

_SHORTEST_WAIT = 0.001
"""Seconds. The gateway requires a time above 0; an activation timeout of 0 means not to wait."""


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
