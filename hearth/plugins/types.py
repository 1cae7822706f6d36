"""Types of hook arguments and results. Declarative: the host merges, a plugin never sees a pod.

Everything here has defaults that add nothing, so a field can be added later without breaking a plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from hearth.api import EnvVar, HostMount, InferenceRuntime, LLMService, NodeRequirement, Probe, Quantity, Toleration

_CHECKED: Mapping[str, Any] = {"revalidate_instances": "always"}

Count = Annotated[int, Field(ge=1)]
AbsolutePath = Annotated[str, Field(pattern="^/")]
Env = tuple[EnvVar, ...]


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """Source of the weights, and what the engine gets in its arguments.

    `scheme` is `hf`, `modelscope`, `pvc` or `file`; `path` is what `{{ .Model.Path }}` becomes: a repository id, or an
    absolute directory. `claim` and `subpath` are set for `pvc` only.
    """

    uri: str
    scheme: str
    path: str
    claim: str | None = None
    subpath: str | None = None

    @property
    def downloads(self) -> bool:
        """Whether the engine downloads the weights itself."""
        return self.scheme in ("hf", "modelscope")


@dataclass(frozen=True, slots=True)
class RenderContext:
    """Context of a hook: what it decides from. These are copies; changing them changes nothing."""

    service: LLMService
    runtime: InferenceRuntime
    model: ResolvedModel


@dataclass(frozen=True, slots=True)
class AcceleratorRequest:
    """Device request of one replica.

    `resources` are extended resources and their whole numbers (`{"nvidia.com/gpu": 2}`); they replace the host's
    `{runtime.accelerator.resourceName: accelerators}`. The rest is used where the runtime says nothing;
    tolerations and node requirements are added to the runtime's. `queue` needs `scheduler_name: volcano`.
    `devices` is how many the engine sees, the degree of its tensor parallelism; None means accelerators times the
    runtime's `accelerator.dies`. `notes` are sentences for the user on what the request will do beyond what it says;
    they become warnings of the plan.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _CHECKED

    resources: Mapping[str, Count]
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    scheduler_name: str | None = None
    queue: str | None = None
    node_requirements: tuple[NodeRequirement, ...] = ()
    devices: Count | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Probes for those that the runtime leaves unset; None keeps the host's default."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _CHECKED

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None


@dataclass(frozen=True, slots=True)
class MetricsEndpoint:
    """Endpoint of the engine's metrics, and their names by meaning (`queueDepth`, `kvCacheUtil`, `running`, `ttft`).

    `port` is a name or a number; empty means the container's port, whatever the runtime calls it.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _CHECKED

    path: AbsolutePath = "/metrics"
    port: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodAdaptation:
    """Additions of a vendor around the serving container.

    `volumes` and `mounts` are Kubernetes objects on the wire form; `host_mounts` is the short form of both.
    `pod_security` and `container_security` are merged key by key over the host's defaults. `shared_memory=False`
    leaves /dev/shm to the device plugin (NVIDIA MPS mounts its own). `command` is the entrypoint when the runtime has
    none. `extra_limits` are limits beside the devices (`hugepages-2Mi`). `no_device_env` is for pods that run the
    image without a device, so that its container runtime gives them none. Keys of Hearth's own (labels and annotations
    under `serving.hearth.dev/`, the mounts /dev/shm, /cache and /models) are refused.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _CHECKED

    host_mounts: tuple[HostMount, ...] = ()
    volumes: tuple[Mapping[str, JsonValue], ...] = ()
    mounts: tuple[Mapping[str, JsonValue], ...] = ()
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    pod_security: Mapping[str, JsonValue] = field(default_factory=dict)
    container_security: Mapping[str, JsonValue] = field(default_factory=dict)
    host_ipc: bool = False
    shared_memory: bool = True
    shared_memory_size: Quantity | None = None
    command: tuple[str, ...] = ()
    extra_limits: Mapping[str, Quantity] = field(default_factory=dict)
    no_device_env: tuple[EnvVar, ...] = ()
