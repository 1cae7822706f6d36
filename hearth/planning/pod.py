"""The pod template of a backend: what user, runtime, vendor and Hearth say, merged into one.

Security defaults are what vLLM starts with on every vendor known to the project: the runtime's default seccomp profile
and no privilege escalation. Capabilities and the user are the image's, because engines run as root in their images and
some vendors' drivers need capabilities; a plugin can change each field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hearth.api import EnvVar, HostMount, InferenceRuntime, LLMService, Quantity
from hearth.planning.cache import CACHE_PATH, CachePlan
from hearth.planning.errors import PlanningError
from hearth.planning.labels import RESERVED_LABELS, RESERVED_PREFIX, object_labels
from hearth.planning.lifecycle import Ending, has_flag
from hearth.planning.model import MODELS_PATH
from hearth.planning.probes import Probes
from hearth.planning.templates import render_template
from hearth.plugins import AcceleratorRequest, PodAdaptation, RenderContext, VendorHost
from hearth.plugins.merge import MergeConflict, Source, append_unique, deep_overlay, overlay, strongest, union

SERVING = "serving"
"""The name of the serving container, always the first of its pod."""

SHM_PATH = "/dev/shm"  # noqa: S108 - a mount in a container
TENSOR_PARALLEL = "--tensor-parallel-size"
PARALLELISM = (TENSOR_PARALLEL, "-tp", "--pipeline-parallel-size", "-pp", "--data-parallel-size", "-dp")
"""vLLM's arguments that spread a model, or copies of it, over several devices."""

QUEUE_ANNOTATION = "scheduling.volcano.sh/queue-name"

_MEMORY_OF_ONE = 2 * 2**30
_MEMORY_OF_MANY = 10 * 2**30
_POD_SECURITY: Mapping[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
_CONTAINER_SECURITY: Mapping[str, Any] = {"allowPrivilegeEscalation": False}


@dataclass(frozen=True, slots=True)
class PodInputs:
    """Everything that the pod is made of."""

    ctx: RenderContext
    templates: Mapping[str, str]
    args: tuple[str, ...]
    accelerator: AcceleratorRequest
    devices: int
    vendor_env: tuple[EnvVar, ...]
    adaptation: PodAdaptation
    probes: Probes
    ending: Ending
    cache: CachePlan


def build_pod(inputs: PodInputs, host: VendorHost) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the pod template on the wire form and the notes of the merge: whose value was used instead of whose.

    Raises PlanningError for what the runtime's data gets wrong, PluginError for what the vendor's additions do.
    """
    service, runtime = inputs.ctx.service, inputs.ctx.runtime
    env, env_notes = _environment(inputs, host)
    selector, selector_notes = overlay(
        "nodeSelector",
        [("runtime", runtime.spec.accelerator.node_selector), ("plugin", inputs.accelerator.node_selector)],
    )
    scheduler, scheduler_notes = strongest(
        "schedulerName",
        [
            ("runtime", runtime.spec.accelerator.scheduler.name),
            ("plugin", inputs.adaptation.scheduler_name or inputs.accelerator.scheduler_name),
        ],
    )
    annotations, annotation_notes = _annotations(inputs, host)
    volumes, mounts = _volumes(inputs, host)
    adaptation = inputs.adaptation
    image = render_template(
        runtime.spec.container.image, inputs.templates, place=f"runtime {runtime.metadata.name}: spec.container.image"
    )
    container: dict[str, Any] = {"name": SERVING, "image": image}
    if runtime.spec.container.command:
        container["command"] = [
            render_template(word, inputs.templates, place=f"runtime {runtime.metadata.name}: spec.container.command")
            for word in runtime.spec.container.command
        ]
    elif adaptation.command:
        container["command"] = list(adaptation.command)
    container |= {
        "args": list(inputs.args),
        "env": env,
        "ports": [runtime.spec.container.port.to_wire()],
        "resources": _resources(service, inputs.accelerator, adaptation),
        "startupProbe": inputs.probes.startup.to_wire(defaults=False),
        "readinessProbe": inputs.probes.readiness.to_wire(defaults=False),
        "livenessProbe": inputs.probes.liveness.to_wire(defaults=False) if inputs.probes.liveness else None,
        # The last log lines of an engine that failed are then in the pod's status, for users who may not read logs.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": inputs.ending.pre_stop} if inputs.ending.pre_stop else None,
        "securityContext": _container_security(adaptation),
        "volumeMounts": mounts,
    }
    spec: dict[str, Any] = {
        "containers": [_present(container)],
        "volumes": volumes,
        "nodeSelector": selector,
        "affinity": _affinity(runtime, inputs.accelerator),
        "tolerations": _tolerations(runtime, inputs.accelerator),
        "schedulerName": scheduler,
        "runtimeClassName": adaptation.runtime_class_name,
        "hostIPC": adaptation.host_ipc or None,
        "imagePullSecrets": [secret.to_wire() for secret in service.spec.image_pull_secrets],
        "securityContext": deep_overlay(_POD_SECURITY, adaptation.pod_security),
        "terminationGracePeriodSeconds": inputs.ending.grace_period,
        # An engine needs no API token, and a Service called `vllm` would set VLLM_PORT, which vLLM refuses.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    metadata = {"labels": _labels(inputs, host), "annotations": annotations}
    pod = {"metadata": _present(metadata), "spec": _present(spec)}
    return pod, (*env_notes, *selector_notes, *scheduler_notes, *annotation_notes)


def render_args(ctx: RenderContext, templates: Mapping[str, str], devices: int) -> tuple[str, ...]:
    """Return the runtime's rendered arguments with the user's appended, unchanged.

    vLLM does not detect how many devices it has: without an argument that spreads the model, tensor parallelism over
    all of them is requested.
    """
    place = f"runtime {ctx.runtime.metadata.name}: spec.container.args"
    rendered = [render_template(arg, templates, place=place) for arg in ctx.runtime.spec.container.args]
    override = ctx.service.spec.runtime.args_override
    spread = devices == 1 or has_flag((*rendered, *override), *PARALLELISM)
    return (*rendered, *(() if spread else (f"{TENSOR_PARALLEL}={devices}",)), *override)


def _environment(inputs: PodInputs, host: VendorHost) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
    runtime = inputs.ctx.runtime
    place = f"runtime {runtime.metadata.name}: spec.container.env"
    own: dict[str, Mapping[str, Any]] = {}
    for variable in runtime.spec.container.env:
        if variable.name in own:
            raise PlanningError(
                "DuplicateEnvironment", f"{place}: {variable.name!r} is listed twice", "keep one of the two"
            )
        wire = variable.to_wire()
        if variable.value is not None:
            wire["value"] = render_template(variable.value, inputs.templates, place=f"{place} {variable.name}")
        own[variable.name] = wire
    added: dict[str, Mapping[str, Any]] = {}
    for variable in inputs.vendor_env:
        if variable.name in added:
            raise host.rejection(inputs.ctx, "hearth_env", f"it returned {variable.name!r} twice")
        added[variable.name] = variable.to_wire()
    defaults = {name: {"name": name, "value": value} for name, value in inputs.cache.env.items()}
    layers: list[tuple[Source, Mapping[str, Mapping[str, Any]]]] = [
        ("default", defaults),
        ("plugin", added),
        ("runtime", own),
    ]
    merged, notes = overlay("env", layers)
    return list(merged.values()), notes


def _annotations(inputs: PodInputs, host: VendorHost) -> tuple[dict[str, str], tuple[str, ...]]:
    reserved = sorted(key for key in inputs.adaptation.annotations if key.startswith(RESERVED_PREFIX))
    if reserved:
        raise host.rejection(inputs.ctx, "hearth_pod", f"the annotation {reserved[0]!r} is reserved for Hearth")
    queues: list[tuple[Source, Mapping[str, str]]] = []
    if inputs.ctx.runtime.spec.accelerator.scheduler.queue:
        queues.append(("runtime", {QUEUE_ANNOTATION: inputs.ctx.runtime.spec.accelerator.scheduler.queue}))
    plugin = dict(inputs.adaptation.annotations)
    if inputs.accelerator.queue:
        plugin.setdefault(QUEUE_ANNOTATION, inputs.accelerator.queue)
    return overlay("annotation", [*queues, ("plugin", plugin)])


def _labels(inputs: PodInputs, host: VendorHost) -> dict[str, str]:
    for key in sorted(inputs.adaptation.labels):
        if key in RESERVED_LABELS or key.startswith(RESERVED_PREFIX):
            raise host.rejection(inputs.ctx, "hearth_pod", f"the label {key!r} is reserved for Hearth")
    return {**object_labels(inputs.ctx.service, inputs.ctx.runtime), **inputs.adaptation.labels}


def _affinity(runtime: InferenceRuntime, request: AcceleratorRequest) -> Mapping[str, Any]:
    wanted = (*runtime.spec.accelerator.node_requirements, *request.node_requirements)
    if not wanted:
        return {}
    term = {"matchExpressions": union(requirement.to_wire(defaults=False) for requirement in wanted)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def _tolerations(runtime: InferenceRuntime, request: AcceleratorRequest) -> list[Mapping[str, Any]]:
    wanted = (*runtime.spec.accelerator.tolerations, *request.tolerations)
    return union(toleration.to_wire() for toleration in wanted)


def _resources(service: LLMService, request: AcceleratorRequest, adaptation: PodAdaptation) -> Mapping[str, Any]:
    """Return requests and limits; extended resources are limits only.

    Kubernetes copies them to requests and refuses any difference.
    """
    wanted = service.spec.resources
    pages = next((name for name in adaptation.extra_limits if name.startswith("hugepages-")), None)
    if pages and wanted.memory is None and wanted.cpu is None:
        raise PlanningError(
            "HugepagesNeedMemory",
            f"the runtime's pods have {pages}, which Kubernetes refuses without memory or cpu",
            "give spec.resources.memory",
        )
    requests: dict[str, str] = {}
    amounts: dict[str, object] = {**adaptation.extra_limits, **request.resources}
    limits = {name: str(amount) for name, amount in sorted(amounts.items())}
    if wanted.cpu is not None:
        requests["cpu"] = str(wanted.cpu)
    if wanted.memory is not None:
        requests["memory"] = limits["memory"] = str(wanted.memory)
    return _present({"requests": requests, "limits": limits})


def _container_security(adaptation: PodAdaptation) -> Mapping[str, Any]:
    merged = deep_overlay(_CONTAINER_SECURITY, adaptation.container_security)
    if merged.get("privileged") and "allowPrivilegeEscalation" not in adaptation.container_security:
        # The API server refuses a privileged container that may not escalate.
        del merged["allowPrivilegeEscalation"]
    return merged


def _volumes(inputs: PodInputs, host: VendorHost) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    volumes: list[Mapping[str, Any]] = list(inputs.cache.volumes)
    mounts: list[Mapping[str, Any]] = list(inputs.cache.mounts)
    model = inputs.ctx.model
    if model.claim is not None:
        volumes.append({"name": "model", "persistentVolumeClaim": {"claimName": model.claim, "readOnly": True}})
        mounts.append({"name": "model", "mountPath": MODELS_PATH, "readOnly": True})
    adaptation = inputs.adaptation
    if adaptation.shared_memory:
        size = adaptation.shared_memory_size or shared_memory_size(inputs.ctx.service, inputs.devices)
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(size)}})
        mounts.append({"name": "shm", "mountPath": SHM_PATH})
    host_volumes, host_mounts = _host_mounts(adaptation.host_mounts)
    try:
        volumes = append_unique(volumes, [*host_volumes, *adaptation.volumes], key="name", kind="volume")
        added = [*host_mounts, *adaptation.mounts]
        _check_paths(added)
        mounts = append_unique(mounts, added, key="mountPath", kind="volume mount")
        known = {volume["name"] for volume in volumes}
        for mount in mounts:
            if mount.get("name") not in known:
                raise MergeConflict(f"the volume mount at {mount['mountPath']!r} names no volume of the pod")
    except MergeConflict as exc:
        raise host.rejection(inputs.ctx, "hearth_pod", str(exc)) from exc
    return volumes, mounts


def _check_paths(mounts: Iterable[Mapping[str, Any]]) -> None:
    for mount in mounts:
        path = str(mount.get("mountPath", ""))
        if not path.startswith("/"):
            raise MergeConflict(f"the mount path {path!r} is not absolute")
        if path in (SHM_PATH, CACHE_PATH, MODELS_PATH) or path.startswith((f"{CACHE_PATH}/", f"{MODELS_PATH}/")):
            raise MergeConflict(f"the mount path {path!r} is reserved for Hearth")


def _host_mounts(mounts: Sequence[HostMount]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    volumes: list[Mapping[str, Any]] = []
    points: list[Mapping[str, Any]] = []
    for number, mount in enumerate(mounts):
        name = f"host-{number}"
        source = {"path": mount.host_path} | ({"type": mount.type} if mount.type else {})
        volumes.append({"name": name, "hostPath": source})
        points.append(
            {"name": name, "mountPath": mount.mount_path or mount.host_path}
            | ({"readOnly": True} if mount.read_only else {})
        )
    return volumes, points


def shared_memory_size(service: LLMService, devices: int) -> Quantity:
    """Return the bound of /dev/shm: 2 GiB, 10 GiB for several devices (vLLM's advice for tensor parallelism).

    It counts against the container's memory limit, so it is at most half of that.
    """
    wanted = _MEMORY_OF_ONE if devices == 1 else _MEMORY_OF_MANY
    memory = service.spec.resources.memory
    if memory is not None:
        wanted = min(wanted, memory.bytes // 2)
    return Quantity(Decimal(wanted), "binary")


def _present(wire: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wire.items() if value is not None and value not in ({}, [], "")}
