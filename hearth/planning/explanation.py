"""The explanation of a plan: sentences on what will happen."""

from __future__ import annotations

from hearth.api import format_duration
from hearth.planning.gateway.gateway import gateway_of
from hearth.planning.names import SHARED_GATEWAY, claim_name, endpoint_url
from hearth.planning.plan import Draft
from hearth.planning.reason import Reason
from hearth.planning.scaledobject import POLLING_INTERVAL, queue_url, scaler_address


def explain(draft: Draft) -> tuple[Reason, ...]:
    """Return sentences on the model, the devices, a cold request, scaling, the end of a replica and the gateway."""
    return (
        Reason(f"model {draft.model.uri}", _model(draft)),
        Reason("devices", _devices(draft)),
        Reason("cold request", _cold_request(draft)),
        Reason("scaling", _scaling(draft)),
        Reason("end of a replica", _ending(draft)),
        *((_gateway(draft), Reason("scaler", _scaler(draft))) if draft.target == "cluster" else ()),
    )


def _model(draft: Draft) -> str:
    model = draft.model
    if model.scheme == "pvc":
        return f"volume claim {model.claim}, read-only at {model.path}"
    if model.scheme == "file":
        return f"directory {model.path}"
    if draft.target == "local":
        return f"{model.path}, downloaded by the engine into your own cache"
    kept = {
        "NodeLocalPVC": f"kept on the volume claim {claim_name(draft.service)}",
        "HostPath": "kept in a directory of the node",
    }.get(draft.service.spec.cache.strategy, "downloaded again at every start")
    return f"{model.path}, downloaded by the engine, {kept}"


def _devices(draft: Draft) -> str:
    limits = draft.serving["resources"].get("limits", {})
    names = [f"{count} x {name}" for name, count in limits.items() if "/" in name]
    return f"{', '.join(names)} for each replica, {draft.vendor.title} (vendor {draft.vendor.name})"


def _cold_request(draft: Draft) -> str:
    cold = draft.service.spec.endpoint.cold_start
    wait = format_duration(draft.scaling.activation_timeout)
    if draft.scaling.min > 0:
        return f"only while the first replicas start, because {draft.scaling.min} always run"
    if cold.mode == "reject":
        return (
            "rejected at once with 503 and Retry-After; the first one starts a replica, and its demand counts for "
            f"{wait} even without further requests"
        )
    return (
        f"held for at most {wait} while a replica starts; a stream gets a heartbeat every {cold.heartbeat_interval}, "
        "then its tokens; any other request waits silently"
    )


def _scaling(draft: Draft) -> str:
    scaling = draft.scaling
    if scaling.min == scaling.max:
        return f"always {scaling.max}"
    down = f"fewer after {format_duration(scaling.stabilization)} of lower demand"
    if scaling.min == 0:
        down += f", none after {format_duration(scaling.cooldown)} without any"
    return (
        f"{scaling.min} to {scaling.max} replicas, one replica for every {scaling.target} requests held or in flight, "
        f"{down}"
    )


def _ending(draft: Draft) -> str:
    grace = draft.pod["spec"]["terminationGracePeriodSeconds"]
    if draft.scaling.drain_timeout:
        drain = format_duration(draft.scaling.drain_timeout)
        return f"requests in flight get up to {drain}; killed after {grace} s"
    return f"requests in flight are aborted by the engine; killed after {grace} s"


def _gateway(draft: Draft) -> Reason:
    name, namespace = draft.service.metadata.name, draft.service.metadata.namespace
    gateway = gateway_of(draft.service, draft.runtime)
    url = endpoint_url(draft.service)
    subject = f"gateway {gateway.name}"
    if gateway.name != SHARED_GATEWAY:
        return Reason(subject, f"serves this service alone, at {url}")
    return Reason(
        subject,
        f"shared by the services of namespace {namespace}; clients reach this one at {url}, or at "
        f"http://{gateway.name}.{namespace}.svc/v1 as model {name}",
    )


def _scaler(draft: Draft) -> str:
    if draft.scaling.min > 0:
        return "KEDA creates an HPA that follows the demand at the gateway; the service never scales to zero"
    if draft.scaler == "push":
        return (
            f"the gateway pushes demand to KEDA at once (external-push, {scaler_address(draft.service)}); "
            f"KEDA also polls every {POLLING_INTERVAL} s"
        )
    return (
        f"KEDA polls the gateway every {POLLING_INTERVAL} s (metrics-api, {queue_url(draft.service)}), so a "
        "replica may start that much later"
    )
