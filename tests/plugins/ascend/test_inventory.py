"""What `npu-smi info` prints for each family of chips, and what becomes of it.

The tables have the layout that was published for npu-smi 24 and 25 (910B, A3, 300I Duo); the numbers are made up.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.plugins import Device, InventoryOutput, PluginRejects, VendorHost

MIB = 2**20

PROCESSES = """\
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| 0       0                 | 71223         | VLLM::Worker             | 55103                   |
+===========================+===============+====================================================+
| No running processes found in NPU 1                                                            |
+===========================+===============+====================================================+
"""

A2 = f"""\
+------------------------------------------------------------------------------------------------+
| npu-smi 25.2.0                   Version: 25.2.0                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 93.1        40                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          58372/ 65536         |
+===========================+===============+====================================================+
| 1     910B3               | OK            | 97.4        41                0    / 0             |
| 0                         | 0000:01:00.0  | 0           0    / 0          3398 / 65536         |
+===========================+===============+====================================================+
{PROCESSES}"""

SLOTS_4_AND_5 = A2.replace("| 0     910B3", "| 4     910B3").replace("| 1     910B3", "| 5     910B3")
ILL = A2.replace("| 0     910B3               | OK      ", "| 0     910B3               | Critical")
WARM = A2.replace("| 0     910B3               | OK     ", "| 0     910B3               | Warning")

DUO = f"""\
+--------------------------------------------------------------------------------------------------------+
| npu-smi 24.1.0                                   Version: 24.1.0                                       |
+-------------------------------+-----------------+------------------------------------------------------+
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
+===============================+=================+======================================================+
| 2       310P3                 | OK              | NA           45                0     / 0             |
| 0       0                     | 0000:01:00.0    | 0            1530 / 44280                            |
+-------------------------------+-----------------+------------------------------------------------------+
| 2       310P3                 | OK              | NA           43                0     / 0             |
| 1       1                     | 0000:01:00.0    | 0            1411 / 43693                            |
+===============================+=================+======================================================+
{PROCESSES}"""

A3 = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 25.0.rc1.1               Version: 25.0.rc1.1                                           |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     Ascend910           | OK            | 178.5       36                0    / 0             |
| 0     0                   | 0000:9D:00.0  | 0           0    / 0          3416 / 65536         |
+------------------------------------------------------------------------------------------------+
| 0     Ascend910           | OK            | -           36                0    / 0             |
| 1     1                   | 0000:9F:00.0  | 0           0    / 0          3195 / 65536         |
+===========================+===============+====================================================+
| 1     Ascend910           | OK            | 186.3       36                0    / 0             |
| 0     2                   | 0000:99:00.0  | 0           0    / 0          3415 / 65536         |
+------------------------------------------------------------------------------------------------+
| 1     Ascend910           | OK            | -           37                0    / 0             |
| 1     3                   | 0000:9B:00.0  | 0           0    / 0          3193 / 65536         |
+===========================+===============+====================================================+
"""

EMPTY = A2[: A2.index("| 0     910B3")]
IN_USE = (
    "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\ndcmi model initialized failed, because the device is used.\n"
)
NO_LIBRARY = "npu-smi: error while loading shared libraries: libc_sec.so: cannot open shared object file\n"


@pytest.fixture(scope="module")
def host() -> VendorHost:
    return VendorHost.load(environ={"HEARTH_PLUGINS": "ascend"})


def devices(host: VendorHost, text: str, **environment: str) -> tuple[Device, ...]:
    return host.local_devices("ascend", InventoryOutput(text, environment))


def test_what_is_read(host: VendorHost) -> None:
    source = host.local_inventory("ascend")
    assert source is not None
    assert (source.command, source.environment) == (("npu-smi", "info"), ("ASCEND_RT_VISIBLE_DEVICES",))


def test_910b(host: VendorHost) -> None:
    assert devices(host, A2) == tuple(Device(id=str(n), name="Ascend 910B3", memory=65536 * MIB) for n in (0, 1))


def test_numbers_are_those_that_a_process_counts_not_the_slots(host: VendorHost) -> None:
    assert devices(host, SLOTS_4_AND_5) == devices(host, A2)


def test_300i_duo(host: VendorHost) -> None:
    assert devices(host, DUO) == (
        Device(id="0", name="Ascend 310P3", memory=44280 * MIB),
        Device(id="1", name="Ascend 310P3", memory=43693 * MIB),
    )


def test_a3_has_a_device_for_each_die(host: VendorHost) -> None:
    assert devices(host, A3) == tuple(Device(id=str(n), name="Ascend910", memory=65536 * MIB) for n in range(4))


def test_ill_chips_are_left_out_and_keep_their_number(host: VendorHost) -> None:
    assert [device.id for device in devices(host, ILL)] == ["1"]
    assert [device.id for device in devices(host, WARM)] == ["0", "1"]


def test_no_chip(host: VendorHost) -> None:
    assert devices(host, EMPTY) == ()


@pytest.mark.parametrize("text", [IN_USE, NO_LIBRARY, "", "No NPU here\n"])
def test_errors_of_the_driver_are_quoted(host: VendorHost, text: str) -> None:
    with pytest.raises(PluginRejects) as caught:
        devices(host, text)
    assert caught.value.reason == "InventoryUnreadable"
    assert (text.splitlines() or ["nothing"])[0] in caught.value.message


@pytest.mark.parametrize(("visible", "ids"), [("", []), ("3", ["3"]), ("2, 0,2", ["2", "0"])])
def test_a_variable_that_is_set_limits_them_in_its_order(host: VendorHost, visible: str, ids: list[str]) -> None:
    assert [device.id for device in devices(host, A3, ASCEND_RT_VISIBLE_DEVICES=visible)] == ids


def test_a_variable_that_names_no_chip_is_an_error(host: VendorHost) -> None:
    with pytest.raises(PluginRejects, match=r"'4' is not an NPU of this machine \(there are: 0, 1, 2, 3\)"):
        devices(host, A3, ASCEND_RT_VISIBLE_DEVICES="0,4")


@given(st.data())
def test_any_lines_of_the_tables_give_devices_or_a_reason(data: st.DataObject) -> None:
    from hearth_ascend import inventory

    lines = [line for table in (A2, DUO, A3, IN_USE) for line in table.splitlines()]
    text = "\n".join(data.draw(st.lists(st.sampled_from(lines) | st.text(max_size=40), max_size=30)))
    try:
        found = inventory.read_devices(InventoryOutput(text, {}))
    except PluginRejects as exc:
        reasons, found = [exc.reason], ()
    else:
        reasons = []
    assert set(reasons) <= {"InventoryUnreadable"}
    assert len({device.id for device in found}) == len(found)
