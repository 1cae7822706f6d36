"""Reasons: the words in conditions and Events. docs/operations.md explains each of them.

Beside these there are the reasons of what refuses a service: those of PlanningError, PluginRejects and PluginError.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is. Stable: alerts and scripts compare them."""

    # All is well.
    AVAILABLE = "Available"
    SCALED_TO_ZERO = "ScaledToZero"
    MINIMUM_REPLICAS_AVAILABLE = "MinimumReplicasAvailable"
    RUNTIME_SELECTED = "RuntimeSelected"
    PREWARMED = "Prewarmed"

    # On its way; nothing to do.
    CREATING = "Creating"
    SCHEDULING = "Scheduling"
    CONTAINER_CREATING = "ContainerCreating"
    LOADING = "Loading"
    CONTAINERS_NOT_READY = "ContainersNotReady"
    RESTARTING = "Restarting"
    PREWARMING = "Prewarming"
    GATEWAY_STARTING = "GatewayStarting"
    SCALED_OBJECT_PENDING = "ScaledObjectPending"
    BEING_DELETED = "BeingDeleted"
    TERMINATING = "Terminating"
    NOT_PLANNED = "NotPlanned"

    # No node takes a pod.
    NO_ACCELERATOR = "NoAccelerator"
    NODE_TOO_SMALL = "NodeTooSmall"
    NODES_EXCLUDED = "NodesExcluded"
    INSUFFICIENT_ACCELERATORS = "InsufficientAccelerators"
    INSUFFICIENT_RESOURCES = "InsufficientResources"
    VOLUME_NOT_BOUND = "VolumeNotBound"
    VOLUME_NODE_CONFLICT = "VolumeNodeConflict"
    VOLUME_MISSING = "VolumeMissing"
    SCHEDULING_GATED = "SchedulingGated"
    UNSCHEDULABLE = "Unschedulable"
    FAILED_CREATE = "FailedCreate"

    # A node refuses a pod, in the kubelet's words where they can be a reason.
    OUT_OF_CPU = "OutOfcpu"
    OUT_OF_MEMORY = "OutOfmemory"
    OUT_OF_PODS = "OutOfpods"
    UNEXPECTED_ADMISSION_ERROR = "UnexpectedAdmissionError"
    NODE_AFFINITY = "NodeAffinity"
    NODE_SHUTDOWN = "NodeShutdown"
    POD_REJECTED = "PodRejected"

    # A container does not run, in the kubelet's words.
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    INVALID_IMAGE_NAME = "InvalidImageName"
    ERR_IMAGE_NEVER_PULL = "ErrImageNeverPull"
    CREATE_CONTAINER_CONFIG_ERROR = "CreateContainerConfigError"
    CREATE_CONTAINER_ERROR = "CreateContainerError"
    RUN_CONTAINER_ERROR = "RunContainerError"
    OOM_KILLED = "OOMKilled"
    STARTUP_TIMEOUT = "StartupTimeout"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    EVICTED = "Evicted"

    # Why it ended, from its own words.
    DEVICE_MEMORY_EXHAUSTED = "DeviceMemoryExhausted"
    MODEL_ACCESS_DENIED = "ModelAccessDenied"
    MODEL_NOT_FOUND = "ModelNotFound"
    CACHE_FULL = "CacheFull"
    HUB_UNREACHABLE = "HubUnreachable"
    INVALID_ARGUMENTS = "InvalidArguments"
    NO_DRIVER = "NoDriver"
    PERMISSION_DENIED = "PermissionDenied"

    # Around it.
    GATEWAY_UNAVAILABLE = "GatewayUnavailable"
    KEDA_NOT_INSTALLED = "KEDANotInstalled"
    SCALED_OBJECT_NOT_READY = "ScaledObjectNotReady"
    SCALED_OBJECT_PAUSED = "ScaledObjectPaused"
    PREWARM_FAILED = "PrewarmFailed"
    APPLY_FAILED = "ApplyFailed"
    INVALID_SERVICE = "InvalidService"


NORMAL = frozenset(
    {
        Reason.AVAILABLE,
        Reason.SCALED_TO_ZERO,
        Reason.MINIMUM_REPLICAS_AVAILABLE,
        Reason.RUNTIME_SELECTED,
        Reason.PREWARMED,
        Reason.CREATING,
        Reason.SCHEDULING,
        Reason.CONTAINER_CREATING,
        Reason.LOADING,
        Reason.CONTAINERS_NOT_READY,
        Reason.PREWARMING,
        Reason.GATEWAY_STARTING,
        Reason.SCALED_OBJECT_PENDING,
        Reason.BEING_DELETED,
        Reason.TERMINATING,
        Reason.NOT_PLANNED,
    }
)
"""Reasons that nobody has to act on; Events of the others are warnings."""
