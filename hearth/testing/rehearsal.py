"""Rehearsals of a plugin in fresh processes: what it renders under other hash seeds, and what its hooks access.

Each process runs `hearth.testing.stage`, which calls every hook on a fixed set of inputs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

HASH_SEEDS = ("0", "1", "4242")

TIMEOUT = 60.0
"""Seconds for one process; its hooks have bounds of their own, unless they stop the whole interpreter."""

_MAIN = "from hearth.testing.stage import main; main()"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Outcome of one process: the objects that it rendered, as YAML, and what its hooks accessed."""

    hash_seed: str
    rendered: str
    accesses: tuple[tuple[str, str], ...]


def rehearse(
    vendor: str, reference: str | None, *, device_ids: Sequence[str], hook_timeout: float, seeds: Sequence[str]
) -> tuple[Rehearsal, ...]:
    """Run the plugin in one process for each hash seed; return nothing when one of them did not end in time.

    `reference` and the other arguments are those of `Subject.load`; `hook_timeout` is in seconds.

    Raises RuntimeError with the output of a process that failed.
    """
    command = [sys.executable, "-W", "ignore", "-c", _MAIN, vendor, str(hook_timeout)]
    command += ["--device", *device_ids, "--reference", reference or ""]
    started = [(seed, _start(command, seed)) for seed in seeds]
    try:
        return tuple(_finish(seed, process) for seed, process in started)
    except subprocess.TimeoutExpired:
        return ()
    finally:
        for _, process in started:
            process.kill()
            process.communicate()


def _start(command: Sequence[str], seed: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109 - sys.path speaks in strings
    environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(seed: str, process: subprocess.Popen[str]) -> Rehearsal:
    output, errors = process.communicate(timeout=TIMEOUT)
    if process.returncode:
        raise RuntimeError(f"the process with PYTHONHASHSEED={seed} ended with {process.returncode}:\n{errors[-2000:]}")
    report = json.loads(output.splitlines()[-1])
    return Rehearsal(seed, report["rendered"], tuple((hook, access) for hook, access in report["accesses"]))
