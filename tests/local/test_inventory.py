"""Asking a vendor's tool, whatever it does."""

import sys

import pytest

from hearth.api import HearthError
from hearth.local.inventory import read_source
from hearth.plugins import InventoryOutput, InventorySource


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
