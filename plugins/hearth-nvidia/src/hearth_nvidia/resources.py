"""Resources by which a pod asks for GPUs: whole cards, shared cards, MIG slices, and parts of cards by HAMi or Volcano."""

from __future__ import annotations

import re

from hearth.api import InferenceRuntime
from hearth.plugins import AcceleratorRequest, PluginRejects, RenderContext

WHOLE = "nvidia.com/gpu"
SHARED = "nvidia.com/gpu.shared"
"""What [NDP] calls a time-sliced or MPS card with `renameByDefault`."""

VOLCANO_COUNT = "volcano.sh/vgpu-number"
MIG = re.compile(r"nvidia\.com/mig-.+")

STRATEGY_LABEL = "nvidia.com/gpu.sharing-strategy"
PRODUCT_LABEL = "nvidia.com/gpu.product"
"""Labels of GPU feature discovery; the product ends in -SHARED or contains -MIG- on such nodes [NDP]."""

HAMI_SCHEDULERS = (None, "default-scheduler", "hami-scheduler")
"""Pods of any other scheduler are skipped by HAMi's webhook and would run without isolation [HAMi webhook.go]."""

_MIB = 2**20


def gpu_request(ctx: RenderContext) -> AcceleratorRequest | None:
    """Return the request for parts of GPUs, None for whole ones, which are the host's default.

    Raises PluginRejects for combinations that a cluster would refuse, or accept and not isolate.
    """
    _check_scheduler(ctx.runtime)
    slices = _slice_kind(ctx.runtime)
    wanted = ctx.service.spec.resources
    if slices and wanted.accelerators > 1:
        raise PluginRejects(
            "SeveralSlices",
            f"spec.resources.accelerators is {wanted.accelerators}, and runtime {ctx.runtime.metadata.name!r} gives out "
            f"{slices}: several of them may be one card, and vLLM cannot spread over them; ask for 1, or choose a "
            "runtime with whole cards",
        )
    if wanted.fraction is None:
        return None
    if slices:
        raise PluginRejects(
            "FractionOfSlice",
            f"spec.resources.fraction: runtime {ctx.runtime.metadata.name!r} gives out {slices}, which have their size; "
            "remove the fraction and choose the size by the resource",
        )
    return _fraction(ctx)


def sharing_strategy(runtime: InferenceRuntime) -> str:
    """Return `mps`, `time-slicing` or an empty text: how the nodes that a runtime selects share their cards."""
    return runtime.spec.accelerator.node_selector.get(STRATEGY_LABEL, "").replace("none", "")


def _slice_kind(runtime: InferenceRuntime) -> str:
    """Return what a unit of the runtime's resource is when it is not a card, in words."""
    accelerator = runtime.spec.accelerator
    product = accelerator.node_selector.get(PRODUCT_LABEL, "")
    if MIG.fullmatch(accelerator.resource_name) or "-MIG-" in product:
        return "MIG slices"
    if accelerator.resource_name == SHARED or sharing_strategy(runtime) or product.endswith("-SHARED"):
        return "shares of cards (time-slicing or MPS)"
    return ""


def _check_scheduler(runtime: InferenceRuntime) -> None:
    accelerator = runtime.spec.accelerator
    if accelerator.resource_name == VOLCANO_COUNT and accelerator.scheduler.name != "volcano":
        raise PluginRejects(
            "WrongScheduler",
            f"runtime {runtime.metadata.name!r}: {VOLCANO_COUNT} is given out by Volcano only; set "
            "spec.accelerator.scheduler.name: volcano",
        )


def _fraction(ctx: RenderContext) -> AcceleratorRequest:
    """HAMi: nvidia.com/gpumem in MiB, nvidia.com/gpucores in percent [HAMi]; Volcano: vgpu-memory, vgpu-cores [VGP].

    Both count per card, and both give parts of several cards to one container.
    """
    runtime, wanted = ctx.runtime, ctx.service.spec.resources
    fraction = wanted.fraction
    assert fraction is not None
    resource = runtime.spec.accelerator.resource_name
    scheduler = runtime.spec.accelerator.scheduler.name
    name = runtime.metadata.name
    if resource not in (WHOLE, VOLCANO_COUNT):
        raise PluginRejects(
            "FractionUnsupported",
            f"spec.resources.fraction: nothing gives out parts of {resource} (runtime {name!r}); use {WHOLE} with HAMi or "
            f"{VOLCANO_COUNT} with Volcano",
        )
    if resource == WHOLE and scheduler not in HAMI_SCHEDULERS:
        remedy = (
            f"set spec.accelerator.resourceName: {VOLCANO_COUNT}"
            if scheduler == "volcano"
            else "leave spec.accelerator.scheduler.name out"
        )
        raise PluginRejects(
            "FractionNotIsolated",
            f"runtime {name!r}: HAMi passes over pods of scheduler {scheduler!r}, so nothing would hold the engine to its "
            f"part of {WHOLE}; {remedy}",
        )
    if runtime.spec.pod.container_security_context.get("privileged"):
        raise PluginRejects(
            "PrivilegedFraction",
            f"runtime {name!r}: spec.pod.containerSecurityContext.privileged: a privileged container sees whole cards, and "
            "HAMi refuses it; remove privileged or the fraction",
        )
    memory, cores = (
        ("volcano.sh/vgpu-memory", "volcano.sh/vgpu-cores")
        if resource == VOLCANO_COUNT
        else ("nvidia.com/gpumem", "nvidia.com/gpucores")
    )
    resources = {resource: wanted.accelerators}
    if fraction.memory is not None:
        resources[memory] = -(-fraction.memory.bytes // _MIB)
    if fraction.cores is not None:
        if fraction.cores > 100:
            raise PluginRejects(
                "TooManyCores",
                f"spec.resources.fraction.cores: {fraction.cores} is above 100; NVIDIA's are percent of one card",
            )
        resources[cores] = fraction.cores
    return AcceleratorRequest(resources)
