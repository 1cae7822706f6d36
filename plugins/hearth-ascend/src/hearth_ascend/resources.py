"""Resources by which a pod asks for NPUs: whole chips of MindCluster, Huawei Cloud or HAMi, and parts of chips by HAMi."""

from __future__ import annotations

import re

from hearth.plugins import AcceleratorRequest, PluginRejects, RenderContext

HAMI = re.compile(r"huawei\.com/(Ascend910(?:A|B2|B3|B4|B4-1|C)|Ascend310P)")
"""Resources of HAMi's device plugin; with `-memory` (MiB) and `-core` (percent) they become parts [HAMi].

MindCluster calls all of 910 `huawei.com/Ascend910`, Huawei Cloud `huawei.com/ascend-1980`: those are whole only.
"""

STATIC = re.compile(r"huawei\.com/Ascend\w+-\d+c.*")
"""Static virtual NPUs, `huawei.com/Ascend310P-2c`: one of them at a time [MC]."""

PAIRED = "huawei.com/Ascend910C"
"""A3: HAMi gives out modules of two dies; 1 becomes 2, and other odd numbers are refused [HAMi]."""

MODE_ANNOTATION = "huawei.com/vnpu-mode"
SOFT = "hami-core"
ARCHITECTURE = "kubernetes.io/arch"

TEMPLATES: dict[str, tuple[int, ...]] = {
    "Ascend910A": (2184, 4369, 8738, 17476),
    "Ascend910B2": (8192, 16384, 32768),
    "Ascend910B3": (16384, 32768),
    "Ascend910B4": (8192, 16384),
    "Ascend910B4-1": (16384, 32768),
    "Ascend310P": (3072, 6144, 12288),
}
"""MiB of the hard parts of each chip, as HAMi's chart ships them; a cluster may have others."""

SCHEDULERS = (None, "default-scheduler", "hami-scheduler", "volcano")
"""Who gives out parts: HAMi's webhook passes over pods of other schedulers; Volcano does it itself since 1.14."""

_MIB = 2**20


def npu_request(ctx: RenderContext) -> AcceleratorRequest | None:
    """Return the request for parts of chips, None for whole ones, which are the host's default.

    Raises PluginRejects for combinations that a cluster would refuse, or accept and not isolate.
    """
    runtime, wanted = ctx.runtime, ctx.service.spec.resources
    resource = runtime.spec.accelerator.resource_name
    count = wanted.accelerators * runtime.spec.accelerator.dies
    name = runtime.metadata.name
    if STATIC.fullmatch(resource) and count > 1:
        raise PluginRejects(
            "SeveralVirtualDevices",
            f"spec.resources.accelerators: {count} of the virtual NPU {resource} (runtime {name!r}), and a container can "
            "have 1; ask for 1, or choose a runtime with whole chips",
        )
    if resource == PAIRED and count % 2:
        raise PluginRejects(
            "DiesInPairs",
            f"spec.resources.accelerators: {count} of {resource}, which HAMi gives out in pairs, a card of two dies; set "
            f"spec.accelerator.dies: 2 in runtime {name!r}",
        )
    return None if wanted.fraction is None else _fraction(ctx, count)


def _fraction(ctx: RenderContext, count: int) -> AcceleratorRequest:
    runtime, fraction = ctx.runtime, ctx.service.spec.resources.fraction
    assert fraction is not None
    accelerator, name = runtime.spec.accelerator, runtime.metadata.name
    resource = accelerator.resource_name
    if not HAMI.fullmatch(resource):
        raise PluginRejects(
            "FractionUnsupported",
            f"spec.resources.fraction: nothing gives out parts of {resource} (runtime {name!r}); use the resource of HAMi's "
            "device plugin, such as huawei.com/Ascend910B3",
        )
    if count > 1:
        raise PluginRejects(
            "FractionOfSeveral",
            f"spec.resources.fraction: parts of {count} chips are asked for, and HAMi refuses parts of several NPUs; ask for "
            "1 accelerator, or for whole ones",
        )
    if accelerator.scheduler.name not in SCHEDULERS:
        raise PluginRejects(
            "FractionNotIsolated",
            f"runtime {name!r}: scheduler {accelerator.scheduler.name!r} gives out no parts of {resource}; leave "
            "spec.accelerator.scheduler.name out (HAMi) or set volcano (1.14 and later)",
        )
    if runtime.spec.pod.container_security_context.get("privileged"):
        raise PluginRejects(
            "PrivilegedFraction",
            f"runtime {name!r}: spec.pod.containerSecurityContext.privileged: a privileged container sees whole chips, and "
            "HAMi refuses it; remove privileged or the fraction",
        )
    if fraction.memory is None:
        raise PluginRejects(
            "FractionNeedsMemory",
            "spec.resources.fraction.memory: it is missing, and parts of an NPU are chosen by memory; give it, such as 16Gi",
        )
    memory = -(-fraction.memory.bytes // _MIB)
    soft = runtime.spec.pod.annotations.get(MODE_ANNOTATION) == SOFT
    resources = {resource: 1, f"{resource}-memory": memory}
    if fraction.cores is None and not soft:
        return AcceleratorRequest(resources, notes=_rounding(resource, memory))
    if not soft:
        raise PluginRejects(
            "CoresNeedSoftMode",
            f"spec.resources.fraction.cores: hard parts of an NPU have a fixed number of cores; leave cores out, or set "
            f"spec.pod.annotations {MODE_ANNOTATION}: {SOFT} in runtime {name!r}",
        )
    return _soft(ctx, resources, fraction.cores)


def _soft(ctx: RenderContext, resources: dict[str, int], cores: int | None) -> AcceleratorRequest:
    accelerator = ctx.runtime.spec.accelerator
    architecture = accelerator.node_selector.get(ARCHITECTURE, "arm64")
    if architecture != "arm64":
        raise PluginRejects(
            "SoftModeNeedsArm",
            f"runtime {ctx.runtime.metadata.name!r}: {MODE_ANNOTATION}: {SOFT} works on ARM hosts only, and the node selector "
            f"says {ARCHITECTURE}: {architecture}; remove the annotation or the selector",
        )
    if cores is not None:
        if cores > 100:
            raise PluginRejects(
                "TooManyCores",
                f"spec.resources.fraction.cores: {cores} is above 100; HAMi's are percent of one chip",
            )
        resources = {**resources, f"{accelerator.resource_name}-core": cores}
    return AcceleratorRequest(resources, node_selector={ARCHITECTURE: "arm64"})


def _rounding(resource: str, memory: int) -> tuple[str, ...]:
    """Say what the request becomes: HAMi takes the smallest template that is enough, else the whole chip [HAMi]."""
    templates = TEMPLATES.get(resource.partition("/")[2], ())
    if not templates or memory in templates:
        return ()
    larger = [template for template in templates if template > memory]
    what = f"a part of {larger[0]} MiB" if larger else "the whole chip, or a refusal when that has less memory"
    return (
        f"spec.resources.fraction.memory: {memory} MiB of {resource} become {what} with HAMi's default templates "
        f"({', '.join(map(str, templates))} MiB)",
    )
