"""The device request of one replica, and the number of devices that its engine sees."""

from __future__ import annotations

from dataclasses import dataclass

from hearth.planning.errors import PlanningError
from hearth.planning.target import Target
from hearth.plugins import AcceleratorRequest, RenderContext, VendorHost, VendorInfo


@dataclass(frozen=True, slots=True)
class Devices:
    """The device request of one replica, and the number of devices that the engine counts."""

    request: AcceleratorRequest
    count: int


def plan_devices(ctx: RenderContext, host: VendorHost, vendor: VendorInfo, target: Target) -> Devices:
    """Ask the vendor; without an answer, whole accelerators of the runtime's resource.

    Raises PlanningError (`FractionUnsupported`, `EmptyFraction`), and what the vendor's hook raises.
    """
    wanted = ctx.service.spec.resources
    accelerator = ctx.runtime.spec.accelerator
    _check_fraction(ctx, vendor, target)
    count = wanted.accelerators * accelerator.dies
    request = host.accelerator(ctx)
    if request is None:
        if wanted.fraction is not None:
            raise host.rejection(
                ctx, "hearth_accelerator", "it returned None for a fraction although the vendor claims `fraction`"
            )
        request = AcceleratorRequest(resources={accelerator.resource_name: count})
    return Devices(request, count if request.devices is None else request.devices)


def _check_fraction(ctx: RenderContext, vendor: VendorInfo, target: Target) -> None:
    fraction = ctx.service.spec.resources.fraction
    if fraction is None:
        return
    if "fraction" not in vendor.capabilities:
        raise PlanningError(
            "FractionUnsupported",
            f"spec.resources.fraction: vendor {vendor.name!r} does not support fractional accelerators",
            "request whole ones with spec.resources.accelerators, or choose a vendor with the capability `fraction` "
            "(`hearth plugins`)",
        )
    if target == "local":
        raise PlanningError(
            "FractionUnsupported",
            "spec.resources.fraction: local mode allocates whole accelerators only, because it cannot isolate two engines "
            "on one device",
            "remove the fraction",
        )
    if not ctx.runtime.spec.accelerator.sharing.supported:
        raise PlanningError(
            "FractionUnsupported",
            f"spec.resources.fraction: runtime {ctx.runtime.metadata.name!r} does not share its accelerators",
            "pin a runtime with spec.accelerator.sharing.supported: true by spec.runtime.name (`hearth runtimes list`), "
            "or remove the fraction",
        )
    if fraction.memory is None and fraction.cores is None:
        raise PlanningError(
            "EmptyFraction",
            "spec.resources.fraction: neither memory nor cores is set",
            "set memory (such as 16Gi), cores, or both",
        )
