"""The warnings about a plan: what is allowed and looks wrong."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from hearth.api import format_duration
from hearth.planning.arguments import flag_values
from hearth.planning.gateway.entry import own_aliases
from hearth.planning.lifecycle import SHUTDOWN_FLAG, has_flag
from hearth.planning.plan import Draft

_SLOW_START = 60.0
"""Seconds of start from which rejecting cold requests leaves clients without an answer.

OpenAI clients retry twice and obey Retry-After of at most a minute.
"""


def warn(draft: Draft) -> tuple[str, ...]:
    """Return what looks wrong but is allowed, each with the fields that it is about."""
    return (
        *_cold_start_warnings(draft),
        *_scaling_warnings(draft),
        *_endpoint_warnings(draft),
        *_drain_warnings(draft),
        *_argument_warnings(draft),
        *_cache_warnings(draft),
        *_local_warnings(draft),
    )


def _said(model: BaseModel, field: str) -> bool:
    """Whether the user says something with a field. An API server fills in every default, which then says nothing."""
    return field in model.model_fields_set and getattr(model, field) != type(model).model_fields[field].default


def _cold_start_warnings(draft: Draft) -> Iterator[str]:
    cold = draft.service.spec.endpoint.cold_start
    timeout = draft.scaling.activation_timeout
    start = draft.probes.startup_seconds
    if draft.scaling.min > 0:
        return
    if cold.mode == "keepalive" and cold.heartbeat_interval.seconds >= timeout:
        yield (
            f"spec.endpoint.coldStart.heartbeatInterval {cold.heartbeat_interval} is not below "
            f"spec.scaling.activationTimeout {format_duration(timeout)}: no heartbeat is ever sent"
        )
    if cold.mode == "reject" and _said(cold, "heartbeat_interval"):
        yield "spec.endpoint.coldStart.heartbeatInterval has no effect: mode reject holds no request"
    if cold.mode == "reject" and start >= _SLOW_START:
        yield (
            f"spec.endpoint.coldStart.mode reject: the runtime may take {format_duration(start)} to start, and clients "
            "give up after two retries of at most a minute; keepalive holds streams until the answer"
        )
    if timeout < 1:
        yield f"spec.scaling.activationTimeout {format_duration(timeout)}: no engine starts that fast"


def _scaling_warnings(draft: Draft) -> Iterator[str]:
    scaling = draft.service.spec.scaling
    if draft.target == "local" and draft.service.spec.scaling.scaler is not None:
        yield f"spec.scaling.scaler {draft.service.spec.scaling.scaler} has no effect: local mode does not use KEDA"
    least, most = draft.scaling.min, draft.scaling.max
    if _said(scaling, "target") and most <= max(least, 1):
        count = "is 1 replica" if most == 1 else f"are {most} replicas"
        yield f"spec.scaling.target has no effect: there {count} at any demand above none"
    if _said(scaling, "scale_down_stabilization") and least == most:
        yield f"spec.scaling.scaleDownStabilization has no effect: min and max are both {most}"


def _endpoint_warnings(draft: Draft) -> Iterator[str]:
    endpoint = draft.service.spec.endpoint
    used = own_aliases(draft.service)
    for alias in dict.fromkeys(endpoint.aliases):
        if alias == draft.service.metadata.name:
            yield f"spec.endpoint.aliases: {alias!r} has no effect: it is the service's own name"
        elif alias not in used:
            yield f"spec.endpoint.aliases: {alias!r} has no effect: use visible characters, without blanks around them"
    if not endpoint.open_ai_compatible:
        yield "spec.endpoint.openAICompatible has no effect: the gateway's API is the engine's"
    if draft.target == "local" and endpoint.gateway == "dedicated":
        yield "spec.endpoint.gateway dedicated has no effect: in local mode one gateway serves all services"


def _drain_warnings(draft: Draft) -> Iterator[str]:
    yield from _grace_warning(draft)
    drain = draft.service.spec.scaling.drain_timeout
    name = draft.runtime.metadata.name
    if not draft.runtime.spec.lifecycle.pre_stop_drain:
        if _said(draft.service.spec.scaling, "drain_timeout"):
            yield (
                f"spec.scaling.drainTimeout {drain} has no effect: runtime {name} does not set "
                "spec.lifecycle.preStopDrain"
            )
        return
    if draft.target == "cluster" and drain.seconds > 0 and not draft.ending.drains_itself:
        yield (
            f"runtime {name} drains by waiting the whole spec.scaling.drainTimeout of {drain}; with "
            f"{SHUTDOWN_FLAG}={{{{ .Service.DrainTimeoutSeconds }}}} in its args (vLLM 0.18 and later) a replica ends "
            "with its last request"
        )


def _grace_warning(draft: Draft) -> Iterator[str]:
    words = flag_values(draft.serving.get("args", []), SHUTDOWN_FLAG)
    if words and words[-1].isdecimal() and int(words[-1]) > draft.ending.grace_period:
        yield (
            f"{SHUTDOWN_FLAG}={words[-1]} is longer than the {draft.ending.grace_period} s after which the engine is killed; "
            f"lower it, or raise spec.lifecycle.terminationGracePeriodSeconds of runtime {draft.runtime.metadata.name}"
        )


def _argument_warnings(draft: Draft) -> Iterator[str]:
    args = draft.serving.get("args", [])
    override = draft.service.spec.runtime.args_override
    name = draft.service.metadata.name
    served = flag_values(args, "--served-model-name")
    if has_flag(override, "--served-model-name") and name not in served:
        yield (
            f"spec.runtime.argsOverride changes --served-model-name to {' '.join(served) or 'nothing'}: the gateway "
            f"sends {name!r} and the engine will answer 404; use spec.endpoint.aliases for further names"
        )
    elif not served:
        yield (
            f"no --served-model-name among the arguments of runtime {draft.runtime.metadata.name}: the engine calls the "
            f"model {draft.model.path!r} and will answer 404 to {name!r}; add "
            "--served-model-name={{ .Service.Name }}"
        )
    port = flag_values(args, "--port")
    number = str(draft.runtime.spec.container.port.container_port)
    if port and draft.target == "local":
        yield f"--port {port[-1]} among the arguments is replaced by the port that Hearth assigns on this machine"
    elif port and port[-1] != number:
        yield (
            f"--port {port[-1]} among the arguments differs from the runtime's container.port {number}, which probes "
            "and the gateway use: the service will never be ready"
        )


def _cache_warnings(draft: Draft) -> Iterator[str]:
    cache = draft.service.spec.cache
    if cache.prewarm and not draft.model.downloads:
        yield f"spec.cache.prewarm has no effect: {draft.model.uri} is not downloaded"
    elif cache.prewarm and cache.strategy == "None":
        yield "spec.cache.prewarm has no effect: spec.cache.strategy None keeps nothing"
    elif cache.prewarm and draft.target == "local":
        yield "spec.cache.prewarm has no effect: in local mode the engine downloads the weights at its first start"
    elif cache.prewarm and cache.strategy == "HostPath":
        yield (
            "spec.cache.prewarm fills the cache of one node, and spec.cache.strategy HostPath has one on every node: "
            "a replica on another node downloads the weights itself"
        )
    if (
        draft.target == "cluster"
        and draft.model.downloads
        and cache.strategy == "NodeLocalPVC"
        and draft.scaling.max > 1
    ):
        yield (
            f"spec.scaling.max is {draft.scaling.max}, and all replicas share the volume claim of spec.cache.strategy "
            "NodeLocalPVC: they can run only on the node that holds it"
        )
    if cache.strategy != "NodeLocalPVC" and (cache.size or cache.storage_class_name):
        yield f"spec.cache.size and storageClassName have no effect with spec.cache.strategy {cache.strategy}"


def _local_warnings(draft: Draft) -> Iterator[str]:
    if draft.target != "local":
        return
    for variable in draft.serving.get("env", ()):
        if "valueFrom" in variable:
            yield (
                f"the variable {variable['name']} comes from Kubernetes (valueFrom) and is left out in local mode; "
                "export it before starting Hearth if the engine needs it"
            )
    for kind, probe in (("startup", draft.probes.startup), ("readiness", draft.probes.readiness)):
        if probe.http_get is None:
            yield f"the {kind} probe does not use HTTP; in local mode GET /health is used instead"
