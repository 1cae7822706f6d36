"""Inventory of this machine's devices: runs what a vendor's plugin asks for. The only part that touches the machine."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence

from hearth.api.errors import HearthError
from hearth.local.devices import Pool
from hearth.planning import LocalInventory, local_devices
from hearth.plugins import InventoryOutput, InventorySource, VendorHost

TIMEOUT = 15.0
"""Seconds that a vendor's tool may take; a driver that hangs must not hang Hearth."""


async def read_pools(
    inventories: Sequence[LocalInventory], host: VendorHost, environment: Mapping[str, str]
) -> tuple[Pool, ...]:
    """Read the devices of each vendor. A vendor whose tool fails has none, and the pool says why."""
    return tuple([await _read_pool(inventory, host, environment) for inventory in inventories])


async def _read_pool(inventory: LocalInventory, host: VendorHost, environment: Mapping[str, str]) -> Pool:
    try:
        output = await asyncio.to_thread(read_source, inventory.source, environment)
        devices = local_devices(inventory, output, host=host)
    except HearthError as error:
        return Pool(inventory.vendor, (), str(error))
    return Pool(inventory.vendor, tuple(device.id for device in devices))


def read_source(source: InventorySource | None, environment: Mapping[str, str]) -> InventoryOutput:
    """Run the command and pick the variables. Blocking. Raises HearthError naming the command when it fails."""
    if source is None:
        return InventoryOutput()
    picked = {name: environment[name] for name in source.environment if name in environment}
    if not source.command:
        return InventoryOutput(environment=picked)
    tool = source.command[0]
    try:
        answer = subprocess.run(
            source.command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise HearthError(f"{tool} was not found", "install the vendor's driver") from error
    except subprocess.TimeoutExpired as error:
        raise HearthError(f"{tool} did not answer within {TIMEOUT:g} s", "check the vendor's driver") from error
    except OSError as error:
        raise HearthError(f"{tool} cannot be run: {error.strerror}", "check the vendor's driver") from error
    if answer.returncode != 0:
        # nvidia-smi says on standard output what is wrong with the driver.
        said = (answer.stderr.strip() or answer.stdout.strip()).decode("utf-8", "replace").splitlines()
        detail = f": {said[-1]}" if said else ""
        raise HearthError(f"{tool} failed with exit code {answer.returncode}{detail}", "check the vendor's driver")
    return InventoryOutput(answer.stdout.decode("utf-8", "replace"), picked)
