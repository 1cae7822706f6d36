"""A vendor without hardware: its devices are configured slots, its engine is the stub. Copy it to start a plugin.

`HEARTH_FAKE_DEVICES` says how many slots this machine has (default 2).
"""

from __future__ import annotations

import sys
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

if TYPE_CHECKING:
    from hearth.plugins import RenderContext

SLOTS = "HEARTH_FAKE_DEVICES"
VISIBLE_DEVICES = "HEARTH_FAKE_VISIBLE_DEVICES"


@hookimpl
def hearth_vendor() -> VendorInfo:
    """Return the identity of the plugin."""
    return VendorInfo(
        name="fake",
        title="Fake accelerators",
        resource_prefixes=("hearth.dev/",),
        capabilities=("local",),
    )


@hookimpl
def hearth_runtimes() -> Iterable[RuntimeManifest]:
    """Return the packaged runtimes."""
    return packaged_runtimes(__name__)


@hookimpl
def hearth_local_inventory() -> InventorySource:
    """Ask for the number of slots."""
    return InventorySource(environment=(SLOTS,))


@hookimpl
def hearth_local_devices(output: InventoryOutput) -> Sequence[Device]:
    """Return a device for each slot, two by default."""
    slots = output.environment.get(SLOTS, "2")
    if not (slots.isascii() and slots.isdigit()):
        raise PluginRejects("InvalidDeviceCount", f"{SLOTS}={slots!r} is not a number of slots; set it to 0 or more")
    return [Device(id=str(slot), name=f"fake accelerator {slot}") for slot in range(int(slots))]


@hookimpl
def hearth_local_command(ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch:
    """Start the stub."""
    return LocalLaunch(argv=(sys.executable, "-m", "vllm_stub"), env={VISIBLE_DEVICES: ",".join(devices)})
