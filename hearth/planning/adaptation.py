"""The adaptation of a pod to its devices: the runtime's `spec.pod` over what the vendor's plugin adds."""

from __future__ import annotations

from dataclasses import replace

from hearth.api import HostMount, InferenceRuntime
from hearth.planning.errors import PlanningError
from hearth.planning.labels import RESERVED_LABELS, RESERVED_PREFIX
from hearth.plugins import PodAdaptation
from hearth.plugins.merge import deep_overlay, overlay, strongest

RESERVED_PATHS = ("/dev/shm", "/cache", "/models")  # noqa: S108 - mounts in a container
"""The mounts of Hearth's own: shared memory, downloaded weights, weights on a claim."""


def merge_adaptation(runtime: InferenceRuntime, vendor: PodAdaptation | None) -> tuple[PodAdaptation, tuple[str, ...]]:
    """Return both as one, and a note for each value of the vendor that the runtime replaces.

    Raises PlanningError (`ReservedKey`, `ReservedPath`) for what the runtime says about Hearth's own keys and mounts.
    """
    _check(runtime)
    pod = runtime.spec.pod
    added = vendor or PodAdaptation()
    annotations, annotation_notes = overlay("annotation", [("plugin", added.annotations), ("runtime", pod.annotations)])
    labels, label_notes = overlay("label", [("plugin", added.labels), ("runtime", pod.labels)])
    runtime_class, class_notes = strongest(
        "runtimeClassName", [("plugin", added.runtime_class_name), ("runtime", pod.runtime_class_name)]
    )
    limits, limit_notes = overlay("limit", [("plugin", added.extra_limits), ("runtime", pod.extra_limits)])
    hidden, hidden_notes = overlay(
        "env of pods without devices",
        [
            ("plugin", {variable.name: variable for variable in added.no_device_env}),
            ("runtime", {variable.name: variable for variable in pod.no_device_env}),
        ],
    )
    enabled = pod.shared_memory.enabled
    merged = replace(
        added,
        host_mounts=_host_mounts(runtime, added),
        runtime_class_name=runtime_class,
        annotations=annotations,
        labels=labels,
        pod_security=deep_overlay(added.pod_security, pod.security_context),
        container_security=deep_overlay(added.container_security, pod.container_security_context),
        host_ipc=added.host_ipc or pod.host_ipc,
        shared_memory=added.shared_memory if enabled is None else enabled,
        shared_memory_size=pod.shared_memory.size or added.shared_memory_size,
        extra_limits=limits,
        no_device_env=tuple(hidden.values()),
    )
    return merged, (*annotation_notes, *label_notes, *class_notes, *limit_notes, *hidden_notes)


def _host_mounts(runtime: InferenceRuntime, added: PodAdaptation) -> tuple[HostMount, ...]:
    """Return the runtime's mounts, then those of the vendor whose place in the container is still free."""
    own = runtime.spec.pod.host_mounts
    if not runtime.spec.pod.vendor_mounts:
        return own
    taken = {mount.mount_path or mount.host_path for mount in own}
    return (*own, *(mount for mount in added.host_mounts if (mount.mount_path or mount.host_path) not in taken))


def _check(runtime: InferenceRuntime) -> None:
    pod = runtime.spec.pod
    for kind, keys in (("annotations", pod.annotations), ("labels", pod.labels)):
        for key in sorted(keys):
            if key in RESERVED_LABELS or key.startswith(RESERVED_PREFIX):
                raise PlanningError(
                    "ReservedKey",
                    f"runtime {runtime.metadata.name}: spec.pod.{kind}: {key!r} is reserved for Hearth",
                    "use another key",
                )
    paths = [mount.mount_path or mount.host_path for mount in pod.host_mounts]
    for path in paths:
        if paths.count(path) > 1:
            raise PlanningError(
                "ReservedPath",
                f"runtime {runtime.metadata.name}: spec.pod.hostMounts: {path!r} is listed twice",
                "keep one of the two",
            )
        if any(path == own or path.startswith(f"{own}/") for own in RESERVED_PATHS):
            raise PlanningError(
                "ReservedPath",
                f"runtime {runtime.metadata.name}: spec.pod.hostMounts: {path!r} is reserved for Hearth",
                "mount it elsewhere with mountPath",
            )
