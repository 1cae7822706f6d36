"""The explanation of a plan: sentences on what will happen."""

from __future__ import annotations

from hearth.api import format_duration
from hearth.planning.gateway.gateway import gateway_of
from hearth.planning.names import SHARED_GATEWAY, claim_name, endpoint_url
from hearth.planning.plan import Draft
from hearth.planning.scaledobject import POLLING_INTERVAL, queue_url, scaler_address


def explain(draft: Draft) -> tuple[str, ...]:
    """Return sentences on the model, the devices, a cold request, scaling, the end of a replica and the gateway."""
    return (
        _model(draft),
        _devices(draft),
        cold_request(draft),
        _scaling(draft),
        _ending(draft),
        *((_gateway(draft), _scaler(draft)) if draft.target == "cluster" else ()),
    )


def cold_request(draft: Draft) -> str:
    """Say what happens to a request that arrives while no replica runs."""
    cold = draft.service.spec.endpoint.cold_start
    wait = format_duration(draft.scaling.activation_timeout)
    if draft.scaling.min > 0:
        return f"cold request: only while the first replicas start, for {draft.scaling.min} always run"
    if cold.mode == "reject":
        return (
            f"cold request: answered at once with 503 and Retry-After; the first one wakes a replica, which is wanted "
            f"for {wait} even if nobody asks again"
        )
    return (
        f"cold request: held for at most {wait} while a replica starts; a stream gets a heartbeat every "
        f"{cold.heartbeat_interval}, then its tokens; any other request waits silently"
    )


def _model(draft: Draft) -> str:
    model = draft.model
    if model.scheme == "pvc":
        return f"model {model.uri}: volume claim {model.claim}, read-only at {model.path}"
    if model.scheme == "file":
        return f"model {model.uri}: directory {model.path}"
    if draft.target == "local":
        return f"model {model.uri}: {model.path}, downloaded by the engine into your own cache"
    kept = {
        "NodeLocalPVC": f"kept on the volume claim {claim_name(draft.service)}",
        "HostPath": "kept in a directory of the node",
    }.get(draft.service.spec.cache.strategy, "downloaded again at every start")
    return f"model {model.uri}: {model.path}, downloaded by the engine, {kept}"


def _devices(draft: Draft) -> str:
    limits = draft.serving["resources"].get("limits", {})
    names = [f"{count} x {name}" for name, count in limits.items() if "/" in name]
    return f"devices: {', '.join(names)} for each replica, {draft.vendor.title} (vendor {draft.vendor.name})"


def _scaling(draft: Draft) -> str:
    scaling = draft.scaling
    each = f"one replica for every {scaling.target} requests held or in flight"
    if scaling.min == scaling.max:
        return f"scaling: always {scaling.max}"
    bounds = f"{scaling.min} to {scaling.max} replicas"
    down = f"fewer after {format_duration(scaling.stabilization)} of lower demand"
    if scaling.min == 0:
        down += f", none after {format_duration(scaling.cooldown)} without any"
    return f"scaling: {bounds}, {each}, {down}"


def _ending(draft: Draft) -> str:
    grace = draft.pod["spec"]["terminationGracePeriodSeconds"]
    if draft.scaling.drain_timeout:
        drain = format_duration(draft.scaling.drain_timeout)
        return f"end of a replica: requests in flight get up to {drain}; killed after {grace} s"
    return f"end of a replica: requests in flight are aborted by the engine; killed after {grace} s"


def _gateway(draft: Draft) -> str:
    name, namespace = draft.service.metadata.name, draft.service.metadata.namespace
    gateway = gateway_of(draft.service, draft.runtime)
    url = endpoint_url(draft.service)
    if gateway.name != SHARED_GATEWAY:
        return f"gateway {gateway.name}: serves this service alone, at {url}"
    return (
        f"gateway {gateway.name}: shared by the services of namespace {namespace}; clients find this one at {url}, or "
        f"at http://{gateway.name}.{namespace}.svc/v1 as model {name}"
    )


def _scaler(draft: Draft) -> str:
    if draft.scaling.min > 0:
        return "scaler: KEDA makes an HPA that follows the demand at the gateway; nothing goes to zero"
    if draft.scaler == "push":
        return (
            f"scaler: the gateway tells KEDA at once that a request waits (external-push, {scaler_address(draft.service)})"
            f"; KEDA looks itself every {POLLING_INTERVAL} s"
        )
    return (
        f"scaler: KEDA asks the gateway every {POLLING_INTERVAL} s (metrics-api, {queue_url(draft.service)}), so a "
        "replica may start that much later"
    )
