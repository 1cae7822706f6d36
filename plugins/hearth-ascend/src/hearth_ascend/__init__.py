"""Huawei Ascend NPUs for Hearth.

Sources, by the short names in the comments: [MC] MindCluster 7.3.0 documentation; [HAMi] Project-HAMi/HAMi 2.10.0
(pkg/device/ascend/device.go, the chart's device ConfigMap) and ascend-device-plugin v1.4.0; [VA] vllm-ascend v0.23.0;
[Go] Hearth's Go predecessor, which ran on 910B3 and on 310P3 (300I Duo).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hearth.plugins import (
    Device,
    InventoryOutput,
    InventorySource,
    LocalLaunch,
    PluginRejects,
    RuntimeManifest,
    VendorInfo,
    hookimpl,
    packaged_runtimes,
)
from hearth_ascend import inventory

if TYPE_CHECKING:
    from hearth.api import EnvVar
    from hearth.plugins import AcceleratorRequest, MetricsEndpoint, PodAdaptation, ProbeSet, RenderContext

VISIBLE_TO_CONTAINERS = "ASCEND_VISIBLE_DEVICES"
"""Physical ids for Ascend Docker Runtime; set by the device plugin, never by Hearth in pods that ask for NPUs [MC]."""


@hookimpl
def hearth_vendor() -> VendorInfo:
    """Return the identity of the plugin."""
    return VendorInfo(
        name="ascend",
        title="Huawei Ascend NPUs",
        resource_prefixes=("huawei.com/",),
        capabilities=("local", "fraction"),
    )


@hookimpl
def hearth_runtimes() -> Iterable[RuntimeManifest]:
    """Return the packaged runtimes."""
    return packaged_runtimes(__name__)


@hookimpl
def hearth_accelerator(ctx: RenderContext) -> AcceleratorRequest | None:
    """Ask for whole NPUs, or for the parts that the runtime's sharing offers."""
    from hearth_ascend.resources import npu_request

    return npu_request(ctx)


@hookimpl
def hearth_env(ctx: RenderContext) -> Sequence[EnvVar] | None:
    """Add nothing, and refuse what would take the choice of NPUs from the device plugin."""
    if any(variable.name == VISIBLE_TO_CONTAINERS for variable in ctx.runtime.spec.container.env):
        raise PluginRejects(
            "DeviceVariable",
            f"runtime {ctx.runtime.metadata.name!r}: spec.container.env sets {VISIBLE_TO_CONTAINERS}, with which a "
            "container sees other NPUs than those it was given; remove it, the device plugin sets it",
        )
    return None


@hookimpl
def hearth_probes() -> ProbeSet:
    """Return vLLM's."""
    from hearth.plugins import vllm

    return vllm.PROBES


@hookimpl
def hearth_metrics() -> MetricsEndpoint:
    """Return vLLM's; vllm-ascend adds none [VA]."""
    from hearth.plugins import vllm

    return vllm.METRICS


@hookimpl
def hearth_pod(ctx: RenderContext) -> PodAdaptation:
    """Mount the driver of the node, read-only, unless a container runtime brings it.

    Without Ascend Docker Runtime the device plugin mounts /dev nodes only, and the driver is the pod's job, at the same
    path inside as outside [MC]. With it (a runtime class, or HAMi's parts, which need it) the mounts are redundant;
    where it is the node's default, `spec.pod.vendorMounts: false` says so. A type on each mount makes a missing path an
    event that names it, where Kubernetes would otherwise create an empty directory.
    """
    from hearth.api import EnvVar, HostMount
    from hearth.plugins import PodAdaptation

    brought = ctx.runtime.spec.pod.runtime_class_name or ctx.service.spec.resources.fraction
    mounts = (
        HostMount(host_path="/usr/local/Ascend/driver", type="Directory"),
        HostMount(host_path="/usr/local/dcmi", type="Directory"),
        HostMount(host_path="/usr/local/bin/npu-smi", type="File"),
        HostMount(host_path="/etc/ascend_install.info", type="File"),
    )
    return PodAdaptation(
        host_mounts=() if brought else mounts,
        # HAMi writes the same into containers that ask for no NPU [HAMi].
        no_device_env=(EnvVar(name=VISIBLE_TO_CONTAINERS, value=""),),
    )


@hookimpl
def hearth_local_inventory() -> InventorySource:
    """Ask for the output of the vendor's tool, and for the NPUs that the user chose."""
    return InventorySource(command=inventory.COMMAND, environment=(inventory.VISIBLE_DEVICES,))


@hookimpl
def hearth_local_devices(output: InventoryOutput) -> Sequence[Device]:
    """Return the NPUs of the tool's output that the user chose."""
    return inventory.read_devices(output)


@hookimpl
def hearth_local_command(ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch:
    """Start what the arguments name, by `env`: the images have no entrypoint, and args begin with `vllm serve` [VA]."""
    return LocalLaunch(
        argv=tuple(ctx.runtime.spec.container.command) or ("env",),
        env={inventory.VISIBLE_DEVICES: ",".join(devices)},
    )
