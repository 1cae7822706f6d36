"""The NPUs of one machine, from the table of `npu-smi info` and ASCEND_RT_VISIBLE_DEVICES.

The table has two lines for each chip, and differs between products: 910B has no column for the device number, 310P calls
it Device, A3 calls it Phy-ID; memory is in the HBM column, on 310P in the only one. A chip's second line has its address
on the bus, which nothing in the table of processes below has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hearth.plugins import Device, InventoryOutput, PluginRejects

VISIBLE_DEVICES = "ASCEND_RT_VISIBLE_DEVICES"
"""What vllm-ascend reads to limit a process [VA platform.py]."""

COMMAND = ("npu-smi", "info")
HEALTHY = ("OK", "Warning")
"""npu-smi's words for chips that work; Alarm and Critical are never allocated."""

_MIB = 2**20
_HEADER = re.compile(r"\|\s*NPU\s+Name\s*\|\s*Health")
_CARD = re.compile(r"(\d+)\s+(\S.*)")
_CHIP = re.compile(r"(\d+)(\s+\d+)?")
_BUS = re.compile(r"[0-9A-Fa-f]{4,8}:\S+")
_USAGE = re.compile(r"\d+\s*/\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Npu:
    """One chip. `number` counts the rows of the table; `memory` is in bytes, None when the table does not say."""

    number: int
    name: str
    health: str
    memory: int | None


def read_devices(output: InventoryOutput) -> Sequence[Device]:
    """Return the chips that work. Ids are the numbers of the rows, from 0.

    A process counts the devices that it can see, in the order of the table; NPU ids are the slots of cards, have gaps,
    and are the host's in a container that was given some cards only. An ASCEND_RT_VISIBLE_DEVICES that is already set
    limits them. Raises PluginRejects (`InventoryUnreadable`, `UnknownVisibleDevice`).
    """
    found = list(_npus(output.stdout))
    wanted = output.environment.get(VISIBLE_DEVICES)
    chosen = found if wanted is None else _visible(found, wanted)
    return [Device(id=str(npu.number), name=npu.name, memory=npu.memory) for npu in chosen if npu.health in HEALTHY]


def _npus(text: str) -> Iterator[Npu]:
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if _HEADER.match(line)), None)
    if start is None:
        said = next((line.strip() for line in lines if line.strip()), "nothing")
        raise PluginRejects(
            "InventoryUnreadable", f"npu-smi says {said!r}; see that `{' '.join(COMMAND)}` prints the table of NPUs"
        )
    number = 0
    card: tuple[str, str] | None = None
    for line in lines[start + 1 :]:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) < 3:
            continue
        if card is None:
            named = _CARD.fullmatch(cells[0])
            card = (named.group(2), cells[1]) if named else None
        elif _CHIP.fullmatch(cells[0]) and _BUS.match(cells[1]):
            name, health = card
            totals = [int(total) for total in _USAGE.findall(cells[2])]
            title = name if name.startswith("Ascend") else f"Ascend {name}"
            yield Npu(number, title, health, max(totals, default=0) * _MIB or None)
            number, card = number + 1, None


def _visible(found: Sequence[Npu], wanted: str) -> list[Npu]:
    words = [word.strip() for word in wanted.split(",") if word.strip()]
    known = {str(npu.number): npu for npu in found}
    for word in words:
        if word not in known:
            raise PluginRejects(
                "UnknownVisibleDevice",
                f"{VISIBLE_DEVICES}={wanted}: {word!r} is not an NPU of this machine (there are: "
                f"{', '.join(known) or 'none'}); correct the variable, or unset it",
            )
    return [known[word] for word in dict.fromkeys(words)]
