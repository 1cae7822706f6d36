"""What nvidia-smi prints, in the form in which it does (driver 535 and later), and what becomes of it.

The texts have the layout of real outputs; UUIDs are made up.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.plugins import Device, InventoryOutput, PluginRejects, VendorHost

GIB = 2**30
MIB = 2**20

ONE = "0, GPU-5b0c4f0e-9d1a-4e53-8a6b-000000000000, NVIDIA H200, 143771, Disabled\n"
SEVERAL = """\
0, GPU-00000000-9d1a-4e53-8a6b-6e2f1c7d0a10, NVIDIA A10, 23028, [N/A]
1, GPU-11111111-9d1a-4e53-8a6b-6e2f1c7d0a10, NVIDIA A10, 23028, [N/A]
2, GPU-22222222-9d1a-4e53-8a6b-6e2f1c7d0a10, Tesla T4, 15360, [N/A]
"""
MIG = """\
0, GPU-00000000-7fda-b179-f636-d15ddaf243e3, NVIDIA A100-SXM4-80GB, 81920, Enabled
1, GPU-11111111-7fda-b179-f636-d15ddaf243e3, NVIDIA A100-SXM4-80GB, 81920, Disabled
"""
UNIFIED = "0, GPU-00000000-7fda-b179-f636-d15ddaf243e3, NVIDIA GB10, [N/A], [N/A]\n"
LOST = f"Unable to determine the device handle for GPU0000:3B:00.0: Unknown Error\n{ONE}"
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver "
    "is installed and running.\n\n"
)
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.54\n"
UNKNOWN_FIELD = 'Field "mig.mode.current" is not a valid field to query.\n'


@pytest.fixture(scope="module")
def host() -> VendorHost:
    return VendorHost.load(environ={"HEARTH_PLUGINS": "nvidia"})


def devices(host: VendorHost, text: str, **environment: str) -> tuple[Device, ...]:
    return host.local_devices("nvidia", InventoryOutput(text, environment))


def test_what_is_read(host: VendorHost) -> None:
    source = host.local_inventory("nvidia")
    assert source is not None
    assert " ".join(source.command) == (
        "nvidia-smi --query-gpu=index,uuid,name,memory.total,mig.mode.current --format=csv,noheader,nounits"
    )
    assert source.environment == ("CUDA_VISIBLE_DEVICES",)


def test_one_card(host: VendorHost) -> None:
    assert devices(host, ONE) == (Device(id="0", name="NVIDIA H200", memory=143771 * MIB),)


def test_several_cards(host: VendorHost) -> None:
    assert [(device.id, device.name) for device in devices(host, SEVERAL)] == [
        ("0", "NVIDIA A10"),
        ("1", "NVIDIA A10"),
        ("2", "Tesla T4"),
    ]


def test_cards_in_mig_mode_are_left_out(host: VendorHost) -> None:
    assert [device.id for device in devices(host, MIG)] == ["1"]


def test_only_cards_in_mig_mode_are_an_error_that_says_so(host: VendorHost) -> None:
    with pytest.raises(PluginRejects, match="all 1 GPUs are in MIG mode") as caught:
        devices(host, MIG.splitlines()[0])
    assert caught.value.reason == "MigEnabled"


def test_a_card_that_shares_the_machines_memory_has_none_of_its_own(host: VendorHost) -> None:
    assert devices(host, UNIFIED) == (Device(id="0", name="NVIDIA GB10", memory=None),)


def test_a_card_that_fell_off_the_bus_leaves_the_others(host: VendorHost) -> None:
    assert [device.id for device in devices(host, LOST)] == ["0"]


@pytest.mark.parametrize("text", ["", "\n", "No devices were found\n"])
def test_no_card(host: VendorHost, text: str) -> None:
    assert devices(host, text) == ()


@pytest.mark.parametrize("text", [NO_DRIVER, MISMATCH, UNKNOWN_FIELD, "0, GPU-1, A10\n", "a, b, c, d, e\n"])
def test_errors_of_the_driver_are_quoted(host: VendorHost, text: str) -> None:
    with pytest.raises(PluginRejects) as caught:
        devices(host, text)
    assert caught.value.reason == "InventoryUnreadable"
    assert text.splitlines()[0].strip() in caught.value.message


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        ("", []),
        ("2", ["2"]),
        ("2,0", ["2", "0"]),
        (" 1 , 1 ", ["1"]),
        ("0,-1,2", ["0"]),
        ("GPU-22222222-9d1a-4e53-8a6b-6e2f1c7d0a10,1", ["2", "1"]),
        ("GPU-2", ["2"]),
    ],
)
def test_a_variable_that_is_set_limits_them_in_its_order(host: VendorHost, visible: str, ids: list[str]) -> None:
    assert [device.id for device in devices(host, SEVERAL, CUDA_VISIBLE_DEVICES=visible)] == ids


@pytest.mark.parametrize("visible", ["3", "GPU-", "MIG-377e0049-554c-540b-93c6-d0976f8426cb", "all"])
def test_a_variable_that_names_no_card_is_an_error(host: VendorHost, visible: str) -> None:
    with pytest.raises(PluginRejects, match="is not one GPU of this machine") as caught:
        devices(host, SEVERAL, CUDA_VISIBLE_DEVICES=visible)
    assert "(there are: 0, 1, 2)" in caught.value.message


@given(st.text(max_size=200) | st.lists(st.sampled_from([ONE, LOST, MIG, NO_DRIVER]), max_size=3).map("".join))
def test_any_text_gives_devices_or_a_reason(text: str) -> None:
    from hearth_nvidia import inventory

    try:
        found = inventory.read_devices(InventoryOutput(text, {}))
    except PluginRejects as exc:
        reasons, found = [exc.reason], ()
    else:
        reasons = []
    assert set(reasons) <= {"InventoryUnreadable", "MigEnabled"}
    assert all(device.id.isdecimal() for device in found)
