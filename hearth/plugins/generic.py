"""The built-in adapter: a runtime with `spec.adapter: generic` needs no plugin, its data says all.

It is written as a plugin, and is called as one.
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
"""The key of the adapter; no plugin may take it."""

_DEVICES = re.compile(r"\{\{\s*\.Devices\s*\}\}")


@hookimpl
def hearth_vendor() -> VendorInfo:
    return VendorInfo(name=NAME, title="any hardware that data can describe", capabilities=("fraction",))


@hookimpl
def hearth_accelerator(ctx: RenderContext) -> AcceleratorRequest | None:
    """Ask for parts of accelerators as `spec.accelerator.sharing` says; whole ones are the host's default."""
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
            f"spec.resources.fraction: {place} gives a service parts of at most {sharing.max_accelerators} devices, and "
            f"{count} are asked for; ask for fewer, or for whole ones",
        )
    resources = {sharing.resource_name or accelerator.resource_name: count}
    if fraction.memory is not None:
        if sharing.memory is None:
            raise PluginRejects(
                "FractionUnsupported", f"spec.resources.fraction.memory: {place}.memory says no resource"
            )
        resources[sharing.memory.resource_name] = -(-fraction.memory.bytes // sharing.memory.unit.bytes)
    if fraction.cores is not None:
        if sharing.cores_resource_name is None:
            raise PluginRejects(
                "FractionUnsupported", f"spec.resources.fraction.cores: {place}.coresResourceName says no resource"
            )
        resources[sharing.cores_resource_name] = fraction.cores
    return AcceleratorRequest(resources)


@hookimpl
def hearth_local_command(ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch | None:
    """Start `spec.local.command`; `spec.local.visibleDevicesEnv` names the variable that limits the devices."""
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
