"""The built-in adapter: a runtime with `spec.adapter: generic` needs no plugin, its data says all.

It is written as a plugin, and is called as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hearth.plugins.hookspecs import hookimpl
from hearth.plugins.vendor import LocalLaunch, PluginRejects, VendorInfo

if TYPE_CHECKING:
    from hearth.plugins.additions import RenderContext


@hookimpl
def hearth_vendor() -> VendorInfo:
    return VendorInfo(name="generic", title="any hardware that data can describe")


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
        env[variable.name] = variable.value
    if local.visible_devices_env:
        env[local.visible_devices_env] = ",".join(devices)
    return LocalLaunch(argv=tuple(local.command), env=env)
