"""NVIDIA GPUs for Hearth.

Sources, by the short names in the comments: [NDP] NVIDIA/k8s-device-plugin v0.20.0; [HAMi] Project-HAMi/HAMi 2.10.0
with its website; [VGP] Project-HAMi/volcano-vgpu-device-plugin v1.12.0; [vLLM] the sources of vLLM 0.25.1 and 0.33.0.
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
from hearth_nvidia import inventory

if TYPE_CHECKING:
    from hearth.api import EnvVar
    from hearth.plugins import AcceleratorRequest, MetricsEndpoint, PodAdaptation, ProbeSet, RenderContext

VISIBLE_TO_CONTAINERS = "NVIDIA_VISIBLE_DEVICES"
"""Set by the device plugin in containers that ask for GPUs; never by Hearth there."""


@hookimpl
def hearth_vendor() -> VendorInfo:
    """Return the identity of the plugin."""
    return VendorInfo(
        name="nvidia",
        title="NVIDIA GPUs",
        resource_prefixes=("nvidia.com/", "volcano.sh/vgpu-"),
        capabilities=("local", "fraction"),
    )


@hookimpl
def hearth_runtimes() -> Iterable[RuntimeManifest]:
    """Return the packaged runtimes."""
    return packaged_runtimes(__name__)


@hookimpl
def hearth_accelerator(ctx: RenderContext) -> AcceleratorRequest | None:
    """Ask for whole GPUs, or for the parts that the runtime's sharing offers."""
    from hearth_nvidia.resources import gpu_request

    return gpu_request(ctx)


@hookimpl
def hearth_env(ctx: RenderContext) -> Sequence[EnvVar] | None:
    """Add nothing, and refuse what would take the choice of GPUs from the device plugin."""
    if any(variable.name == VISIBLE_TO_CONTAINERS for variable in ctx.runtime.spec.container.env):
        raise PluginRejects(
            "DeviceVariable",
            f"runtime {ctx.runtime.metadata.name!r}: spec.container.env sets {VISIBLE_TO_CONTAINERS}, with which a "
            "container sees other GPUs than those it was given; remove it, the device plugin sets it",
        )
    return None


@hookimpl
def hearth_probes() -> ProbeSet:
    """Return vLLM's."""
    from hearth.plugins import vllm

    return vllm.PROBES


@hookimpl
def hearth_metrics() -> MetricsEndpoint:
    """Return vLLM's."""
    from hearth.plugins import vllm

    return vllm.METRICS


@hookimpl
def hearth_pod(ctx: RenderContext) -> PodAdaptation:
    """Mount nothing of the host: the container toolkit brings the driver [NDP].

    The device plugin mounts its own /dev/shm into containers that share a GPU by MPS [NDP internal/plugin/mps.go].
    An image that carries NVIDIA_VISIBLE_DEVICES=all sees every GPU in a pod that asks for none [HAMi].
    """
    from hearth.api import EnvVar
    from hearth.plugins import PodAdaptation
    from hearth_nvidia.resources import sharing_strategy

    return PodAdaptation(
        shared_memory=sharing_strategy(ctx.runtime) != "mps",
        no_device_env=(EnvVar(name=VISIBLE_TO_CONTAINERS, value="void"),),
    )


@hookimpl
def hearth_local_inventory() -> InventorySource:
    """Ask for the output of the vendor's tool, and for the GPUs that the user chose."""
    return InventorySource(command=inventory.COMMAND, environment=(inventory.VISIBLE_DEVICES,))


@hookimpl
def hearth_local_devices(output: InventoryOutput) -> Sequence[Device]:
    """Return the GPUs of the tool's output that the user chose."""
    return inventory.read_devices(output)


@hookimpl
def hearth_local_command(ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch:
    """Start `vllm serve`, the images' entrypoint, unless the runtime replaces it.

    CUDA numbers the fastest card 0 unless told to count as nvidia-smi does.
    """
    return LocalLaunch(
        argv=tuple(ctx.runtime.spec.container.command) or ("vllm", "serve"),
        env={inventory.VISIBLE_DEVICES: ",".join(devices), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
    )
