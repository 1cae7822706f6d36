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
    return VendorInfo(
        name="fake",
        title="Fake accelerators",
        resource_prefixes=("hearth.dev/",),
        capabilities=("local",),
    )


@hookimpl
def hearth_runtimes() -> Iterable[RuntimeManifest]:
    return packaged_runtimes(__name__)


@hookimpl
def hearth_local_inventory() -> InventorySource:
    return InventorySource(environment=(SLOTS,))


@hookimpl
def hearth_local_devices(output: InventoryOutput) -> Sequence[Device]:
    slots = output.environment.get(SLOTS, "2")
    if not (slots.isascii() and slots.isdigit()):
        raise PluginRejects("InvalidDeviceCount", f"{SLOTS}={slots!r} is not a number of slots; set it to 0 or more")
    return [Device(id=str(slot), name=f"fake accelerator {slot}") for slot in range(int(slots))]


@hookimpl
def hearth_local_command(ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch:
    return LocalLaunch(argv=(sys.executable, "-m", "vllm_stub"), env={VISIBLE_DEVICES: ",".join(devices)})
