"""The GPUs of one machine, from `nvidia-smi --query-gpu` and CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hearth.plugins import Device, InventoryOutput, PluginRejects

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
FIELDS = ("index", "uuid", "name", "memory.total", "mig.mode.current")
COMMAND = ("nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits")

NO_DEVICES = "No devices were found"
LOST = "Unable to determine the device handle"
"""How nvidia-smi begins the line of a card that fell off the bus; the others work."""

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Gpu:
    """One line of nvidia-smi. `memory` is in bytes, None where the card shares the machine's (`[N/A]`)."""

    index: str
    uuid: str
    name: str
    memory: int | None
    mig: bool


def read_devices(output: InventoryOutput) -> Sequence[Device]:
    """Return the GPUs by index; ids are indexes, because vLLM takes no UUIDs in CUDA_VISIBLE_DEVICES [vLLM].

    A CUDA_VISIBLE_DEVICES that is already set limits them, in its order. Cards in MIG mode are left out: vLLM cannot
    be given a slice by its UUID, and an index means the whole card. Raises PluginRejects (`InventoryUnreadable`,
    `MigEnabled`, `UnknownVisibleDevice`).
    """
    found = list(_gpus(output.stdout))
    chosen = (
        found if VISIBLE_DEVICES not in output.environment else _visible(found, output.environment[VISIBLE_DEVICES])
    )
    usable = [gpu for gpu in chosen if not gpu.mig]
    if chosen and not usable:
        raise PluginRejects(
            "MigEnabled",
            f"all {len(chosen)} GPUs are in MIG mode, and vLLM cannot be started on a slice by its UUID; turn MIG off "
            "(nvidia-smi -mig 0), or serve slices in a cluster (resourceName nvidia.com/mig-...)",
        )
    return [Device(id=gpu.index, name=gpu.name, memory=gpu.memory) for gpu in usable]


def _gpus(text: str) -> Iterator[Gpu]:
    for line in text.splitlines():
        words = line.strip()
        if not words or words.startswith((NO_DEVICES, LOST)):
            continue
        [row] = csv.reader([words], skipinitialspace=True)
        if len(row) != len(FIELDS) or not row[0].isdecimal():
            raise PluginRejects(
                "InventoryUnreadable",
                f"nvidia-smi says {words!r}; see that `{' '.join(COMMAND)}` lists the GPUs",
            )
        index, uuid, name, memory, mig = (cell.strip() for cell in row)
        yield Gpu(index, uuid, name, int(memory) * _MIB if memory.isdecimal() else None, mig == "Enabled")


def _visible(found: Sequence[Gpu], wanted: str) -> list[Gpu]:
    """Choose as CUDA does: indexes or beginnings of UUIDs; but what names no card is an error and not the end."""
    chosen: list[Gpu] = []
    for word in (part.strip() for part in wanted.split(",")):
        if not word or word == "-1":
            break
        matching = [
            gpu for gpu in found if gpu.index == word or (word.startswith("GPU-") and gpu.uuid.startswith(word))
        ]
        if len(matching) != 1:
            listed = ", ".join(gpu.index for gpu in found) or "none"
            raise PluginRejects(
                "UnknownVisibleDevice",
                f"{VISIBLE_DEVICES}={wanted}: {word!r} is not one GPU of this machine (there are: {listed}); correct "
                "the variable, or unset it",
            )
        if matching[0] not in chosen:
            chosen.append(matching[0])
    return chosen
