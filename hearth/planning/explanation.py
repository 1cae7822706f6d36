"""The explanation of a plan: sentences on what will happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.api import format_duration
from hearth.planning.gateway.gateway import gateway_of
from hearth.planning.names import SHARED_GATEWAY, claim_name, endpoint_url
from hearth.planning.scaledobject import POLLING_INTERVAL, queue_url, scaler_address

if TYPE_CHECKING:
    from hearth.planning.plan import Plan


def explain(plan: Plan) -> tuple[str, ...]:
    """Return sentences on the model, the devices, a cold request, scaling, the end of a replica and the gateway."""
    return (
        _model(plan),
        _devices(plan),
        cold_request(plan),
        _scaling(plan),
        _ending(plan),
        *((_gateway(plan), _scaler(plan)) if plan.target == "cluster" else ()),
    )


def cold_request(plan: Plan) -> str:
    """Say what happens to a request that arrives while no replica runs."""
    cold = plan.service.spec.endpoint.cold_start
    wait = format_duration(plan.scaling.activation_timeout)
    if plan.scaling.min > 0:
        return f"cold request: only while the first replicas start, for {plan.scaling.min} always run"
    if cold.mode == "reject":
        return (
            f"cold request: answered at once with 503 and Retry-After; the first one wakes a replica, which is wanted "
            f"for {wait} even if nobody asks again"
        )
    return (
        f"cold request: held for at most {wait} while a replica starts; a stream gets a heartbeat every "
        f"{cold.heartbeat_interval}, then its tokens; any other request waits silently"
    )


def _model(plan: Plan) -> str:
    model = plan.model
    if model.scheme == "pvc":
        return f"model {model.uri}: volume claim {model.claim}, read-only at {model.path}"
    if model.scheme == "file":
        return f"model {model.uri}: directory {model.path}"
    if plan.target == "local":
        return f"model {model.uri}: {model.path}, downloaded by the engine into your own cache"
    kept = {
        "NodeLocalPVC": f"kept on the volume claim {claim_name(plan.service)}",
        "HostPath": "kept in a directory of the node",
    }.get(plan.service.spec.cache.strategy, "downloaded again at every start")
    return f"model {model.uri}: {model.path}, downloaded by the engine, {kept}"


def _devices(plan: Plan) -> str:
    limits = plan.serving["resources"].get("limits", {})
    names = [f"{count} x {name}" for name, count in limits.items() if "/" in name]
    return f"devices: {', '.join(names)} for each replica, {plan.vendor.title} (vendor {plan.vendor.name})"


def _scaling(plan: Plan) -> str:
    scaling = plan.scaling
    each = f"one replica for every {scaling.target} requests held or in flight"
    if scaling.min == scaling.max:
        return f"scaling: always {scaling.max}"
    bounds = f"{scaling.min} to {scaling.max} replicas"
    down = f"fewer after {format_duration(scaling.stabilization)} of lower demand"
    if scaling.min == 0:
        down += f", none after {format_duration(scaling.cooldown)} without any"
    return f"scaling: {bounds}, {each}, {down}"


def _ending(plan: Plan) -> str:
    grace = plan.pod["spec"]["terminationGracePeriodSeconds"]
    if plan.scaling.drain_timeout:
        drain = format_duration(plan.scaling.drain_timeout)
        return f"end of a replica: requests in flight get up to {drain}; killed after {grace} s"
    return f"end of a replica: requests in flight are aborted by the engine; killed after {grace} s"


def _gateway(plan: Plan) -> str:
    name, namespace = plan.service.metadata.name, plan.service.metadata.namespace
    gateway = gateway_of(plan.service, plan.runtime)
    url = endpoint_url(plan.service)
    if gateway.name != SHARED_GATEWAY:
        return f"gateway {gateway.name}: serves this service alone, at {url}"
    return (
        f"gateway {gateway.name}: shared by the services of namespace {namespace}; clients find this one at {url}, or "
        f"at http://{gateway.name}.{namespace}.svc/v1 as model {name}"
    )


def _scaler(plan: Plan) -> str:
    if plan.scaling.min > 0:
        return "scaler: KEDA makes an HPA that follows the demand at the gateway; nothing goes to zero"
    if plan.scaler == "push":
        return (
            f"scaler: the gateway tells KEDA at once that a request waits (external-push, {scaler_address(plan.service)})"
            f"; KEDA looks itself every {POLLING_INTERVAL} s"
        )
    return (
        f"scaler: KEDA asks the gateway every {POLLING_INTERVAL} s (metrics-api, {queue_url(plan.service)}), so a "
        "replica may start that much later"
    )
