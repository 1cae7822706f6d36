"""hearth-fake, the example that plugin authors copy."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hearth.plugins import Device, InventoryOutput, InventorySource, LocalLaunch, PluginRejects, VendorHost
from tests.plugins.support import context


@pytest.fixture(scope="module")
def host() -> VendorHost:
    return VendorHost.load(environ={"HEARTH_PLUGINS": "fake"})


def test_it_is_ready_and_ships_its_runtime(host: VendorHost) -> None:
    [status] = [status for status in host.vendors if status.name == "fake"]
    assert (status.state, status.capabilities, status.runtimes) == ("ready", ("local",), ("vllm-fake",))
    [runtime] = host.runtimes()
    assert runtime.manifest.spec.accelerator.resource_name == "hearth.dev/fake-accelerator"
    assert runtime.origin == "hearth-fake 0.1.0, vllm-fake.yaml"


@pytest.mark.parametrize(
    ("environment", "ids"), [({}, "01"), ({"HEARTH_FAKE_DEVICES": "3"}, "012"), ({"HEARTH_FAKE_DEVICES": "0"}, "")]
)
def test_its_devices_are_configured_slots(host: VendorHost, environment: dict[str, str], ids: str) -> None:
    assert host.local_inventory("fake") == InventorySource(environment=("HEARTH_FAKE_DEVICES",))
    found = host.local_devices("fake", InventoryOutput(environment=environment))
    assert found == tuple(Device(id=slot, name=f"fake accelerator {slot}") for slot in ids)


@pytest.mark.parametrize("slots", ["", "two", "-1", "1.5"])
def test_a_wrong_number_of_slots_is_refused(host: VendorHost, slots: str) -> None:
    with pytest.raises(PluginRejects, match=f"HEARTH_FAKE_DEVICES={slots!r} is not a number of slots"):
        host.local_devices("fake", InventoryOutput(environment={"HEARTH_FAKE_DEVICES": slots}))


def test_its_engine_sees_its_devices_only(host: VendorHost) -> None:
    assert host.local_command(context("fake"), ["1", "0"]) == LocalLaunch(
        argv=(sys.executable, "-m", "vllm_stub"), env={"HEARTH_FAKE_VISIBLE_DEVICES": "1,0"}
    )


def test_loading_it_imports_neither_the_api_nor_pydantic() -> None:
    """What keeps `hearth plugins` quick."""
    code = (
        "import sys; from hearth.plugins import VendorHost; VendorHost.load().vendors; "
        "print([name for name in ('pydantic', 'yaml', 'rich') if name in sys.modules])"
    )
    environ = {**os.environ, "HEARTH_PLUGINS": "fake"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout == "[]\n"
