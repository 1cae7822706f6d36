"""Inventory of devices: a vendor's tool, whatever it does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hearth.api import HearthError
from hearth.local.devices import Pool
from hearth.local.inventory import read_pools, read_source
from hearth.plugins import InventoryOutput, InventorySource, VendorHost
from tests.local.instance import load, service


def tool(code: str) -> InventorySource:
    return InventorySource(command=(sys.executable, "-c", f"import sys; {code}"), environment=("CHIPS", "OTHER"))


def test_what_it_prints_and_the_variables_that_are_set() -> None:
    read = read_source(tool("print('two chips')"), {"CHIPS": "0,1", "PATH": "/bin"})
    assert read == InventoryOutput("two chips\n", {"CHIPS": "0,1"})


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit('no driver')", "failed with exit code 1: no driver"),
        ("print('NVIDIA-SMI has failed'); sys.exit(9)", "failed with exit code 9: NVIDIA-SMI has failed"),
        ("sys.exit(3)", "failed with exit code 3; check"),
    ],
)
def test_a_tool_that_fails_is_quoted(code: str, said: str) -> None:
    with pytest.raises(HearthError) as caught:
        read_source(tool(code), {})
    assert said in str(caught.value)


def test_a_tool_that_is_not_there() -> None:
    with pytest.raises(HearthError, match="no-such-smi was not found; install the vendor's driver"):
        read_source(InventorySource(command=("no-such-smi",)), {})


def test_nothing_to_read() -> None:
    assert read_source(None, {"CHIPS": "1"}) == InventoryOutput()


async def test_devices_of_the_fake_vendor_follow_the_environment(tmp_path: Path, host: VendorHost) -> None:
    inventories = load(tmp_path, host, service("qwen")).inventories
    assert await read_pools(inventories, host, {"HEARTH_FAKE_DEVICES": "3"}) == (Pool("fake", ("0", "1", "2")),)
    (pool,) = await read_pools(inventories, host, {"HEARTH_FAKE_DEVICES": "many"})
    assert pool.devices == ()
    assert pool.error is not None
    assert "HEARTH_FAKE_DEVICES='many' is not a number" in pool.error


def test_only_the_variables_that_were_asked_for_are_read() -> None:
    output = read_source(InventorySource(environment=("ONE", "TWO")), {"ONE": "1", "SECRET": "x"})
    assert output.environment == {"ONE": "1"}
    assert read_source(None, {}).stdout == ""


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("nosuch-smi",), "nosuch-smi was not found; install the vendor's driver"),
        ((__file__,), "cannot be run: Permission denied"),
        ((sys.executable, "-c", "import sys; sys.exit('no devices were found')"), "exit code 1: no devices were found"),
        ((sys.executable, "-c", "import time; time.sleep(9)"), "did not answer within 0.2 s"),
    ],
)
def test_a_vendor_tool_that_fails_is_named(
    command: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in command[-1]:
        monkeypatch.setattr("hearth.local.inventory.TIMEOUT", 0.2)
    with pytest.raises(HearthError, match=message):
        read_source(InventorySource(command=command), {})
