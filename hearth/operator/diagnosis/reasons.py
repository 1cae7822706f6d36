"""The words that conditions and Events give as their reason. docs/operations.md explains each of them.

Beside these there are the reasons of what refuses a service: those of PlanningError, PluginRejects and PluginError.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is. Stable: alerts and scripts compare them."""

    # All is well.
    AVAILABLE = "Available"
    SCALED_TO_ZERO = "ScaledToZero"
    AS_WANTED = "AsWanted"
    AWAKE = "Awake"
    ASLEEP = "Asleep"
    RUNTIME_CHOSEN = "RuntimeChosen"
    PREWARMED = "Prewarmed"

    # On its way; nothing to do.
    CREATING = "Creating"
    SCHEDULING = "Scheduling"
    CONTAINER_CREATING = "ContainerCreating"
    LOADING = "Loading"
    NOT_ANSWERING = "NotAnswering"
    RESTARTING = "Restarting"
    PREWARMING = "Prewarming"
    GATEWAY_STARTING = "GatewayStarting"
    SCALER_STARTING = "ScalerStarting"
    BEING_DELETED = "BeingDeleted"
    DELETING = "Deleting"
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
    PODS_REFUSED = "PodsRefused"

    # A container does not run.
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONFIGURATION_MISSING = "ConfigurationMissing"
    CANNOT_START = "CannotStart"
    OUT_OF_MEMORY = "OutOfMemory"
    STARTUP_TIMEOUT = "StartupTimeout"
    CRASH_LOOPING = "CrashLooping"
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
    SCALER_NOT_READY = "ScalerNotReady"
    SCALING_PAUSED = "ScalingPaused"
    PREWARM_FAILED = "PrewarmFailed"
    APPLY_FAILED = "ApplyFailed"
    INVALID_SERVICE = "InvalidService"


NORMAL = frozenset(
    {
        Reason.AVAILABLE,
        Reason.SCALED_TO_ZERO,
        Reason.AS_WANTED,
        Reason.AWAKE,
        Reason.ASLEEP,
        Reason.RUNTIME_CHOSEN,
        Reason.PREWARMED,
        Reason.CREATING,
        Reason.SCHEDULING,
        Reason.CONTAINER_CREATING,
        Reason.LOADING,
        Reason.NOT_ANSWERING,
        Reason.PREWARMING,
        Reason.GATEWAY_STARTING,
        Reason.SCALER_STARTING,
        Reason.BEING_DELETED,
        Reason.DELETING,
        Reason.NOT_PLANNED,
    }
)
"""Reasons that nobody has to act on; Events of the others are warnings."""
