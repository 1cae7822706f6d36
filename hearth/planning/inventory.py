"""The inventory of this machine's devices: what to read for each vendor, and how to interpret it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hearth.planning.errors import PlanningError
from hearth.planning.plan import Plan
from hearth.plugins import Device, InventoryOutput, InventorySource, PluginRejects, VendorHost


@dataclass(frozen=True, slots=True)
class LocalInventory:
    """The devices of one vendor on this machine, shared by every plan of that vendor.

    `source` says what to read (None: nothing); `listed` are devices that runtimes name in `spec.local.devices`.
    """

    vendor: str
    source: InventorySource | None
    asks_plugin: bool
    listed: tuple[Device, ...]


def local_inventory_sources(plans: Iterable[Plan], *, host: VendorHost) -> tuple[LocalInventory, ...]:
    """Return one inventory for each vendor among the plans, by vendor key."""
    by_vendor: dict[str, list[Plan]] = {}
    for plan in plans:
        by_vendor.setdefault(plan.vendor.name, []).append(plan)
    return tuple(_inventory(vendor, by_vendor[vendor], host) for vendor in sorted(by_vendor))


def local_devices(inventory: LocalInventory, output: InventoryOutput, *, host: VendorHost) -> tuple[Device, ...]:
    """Return the devices, each id once: those that the plugin finds in `output`, then those that runtimes list.

    Raises PlanningError with the vendor's reason when it cannot understand the output, and PluginError.
    """
    try:
        found = host.local_devices(inventory.vendor, output) if inventory.asks_plugin else ()
    except PluginRejects as exc:
        raise PlanningError(exc.reason, f"devices of vendor {inventory.vendor!r}: {exc.message}", "") from exc
    known = {device.id for device in found}
    return (*found, *(device for device in inventory.listed if device.id not in known))


def _inventory(vendor: str, plans: list[Plan], host: VendorHost) -> LocalInventory:
    asks_plugin = any(plan.runtime.spec.adapter == "plugin" for plan in plans)
    listed: dict[str, Device] = {}
    for plan in plans:
        local = plan.runtime.spec.local
        if plan.runtime.spec.adapter == "generic" and local is not None:
            for device in local.devices:
                listed.setdefault(device, Device(id=device, name=f"{vendor} {device}"))
    return LocalInventory(
        vendor=vendor,
        source=host.local_inventory(vendor) if asks_plugin else None,
        asks_plugin=asks_plugin,
        listed=tuple(listed.values()),
    )
