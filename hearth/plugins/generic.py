"""Generic adapter: a runtime with `spec.adapter: generic` needs no plugin, its data is enough.

It is built in, written as a plugin, and called as one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hearth.plugins.hookspecs import hookimpl
from hearth.plugins.vendor import LocalLaunch, PluginRejects, VendorInfo

if TYPE_CHECKING:
    from hearth.plugins.types import AcceleratorRequest, RenderContext

NAME = "generic"
"""Key of the adapter, in place of a vendor's; no plugin may have it."""

_DEVICES = re.compile(r"\{\{\s*\.Devices\s*\}\}")


@hookimpl
def hearth_vendor() -> VendorInfo:
    """Return the identity of the adapter."""
    return VendorInfo(name=NAME, title="any hardware that data can describe", capabilities=("fraction",))


@hookimpl
def hearth_accelerator(ctx: RenderContext) -> AcceleratorRequest | None:
    """Request fractions of accelerators as `spec.accelerator.sharing` says; whole ones are the host's default."""
    from hearth.plugins.types import AcceleratorRequest

    wanted, accelerator = ctx.service.spec.resources, ctx.runtime.spec.accelerator
    fraction, sharing = wanted.fraction, accelerator.sharing
    if fraction is None:
        return None
    count = wanted.accelerators * accelerator.dies
    place = f"runtime {ctx.runtime.metadata.name!r}: spec.accelerator.sharing"
    if count > sharing.max_accelerators:
        raise PluginRejects(
            "FractionOfSeveral",
            f"spec.resources.fraction: {count} accelerators are requested, and {place}.maxAccelerators is "
            f"{sharing.max_accelerators}; request fewer accelerators, or remove spec.resources.fraction",
        )
    resources = {sharing.resource_name or accelerator.resource_name: count}
    if fraction.memory is not None:
        if sharing.memory is None:
            raise PluginRejects(
                "FractionUnsupported",
                f"spec.resources.fraction.memory: {place}.memory.resourceName is not set; set it, or remove "
                "spec.resources.fraction.memory",
            )
        resources[sharing.memory.resource_name] = -(-fraction.memory.bytes // sharing.memory.unit.bytes)
    if fraction.cores is not None:
        if sharing.cores_resource_name is None:
            raise PluginRejects(
                "FractionUnsupported",
                f"spec.resources.fraction.cores: {place}.coresResourceName is not set; set it, or remove "
                "spec.resources.fraction.cores",
            )
        resources[sharing.cores_resource_name] = fraction.cores
    return AcceleratorRequest(resources)


@hookimpl
def hearth_local_command(ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch | None:
    """Start `spec.local.command`; `spec.local.visibleDevicesEnv` names the variable with the visible devices."""
    local = ctx.runtime.spec.local
    if local is None or not local.command:
        return None
    env: dict[str, str] = {}
    for variable in local.env:
        if variable.value is None:
            raise PluginRejects(
                "LocalEnvUnsupported",
                f"runtime {ctx.runtime.metadata.name!r}: spec.local.env {variable.name!r} has no literal value; "
                "give it one, or export the variable before starting Hearth",
            )
        env[variable.name] = _DEVICES.sub(",".join(devices), variable.value)
    if local.visible_devices_env:
        env[local.visible_devices_env] = ",".join(devices)
    return LocalLaunch(argv=tuple(local.command), env=env)
