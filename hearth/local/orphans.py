"""Ending processes that an earlier `hearth up` owned and could not end itself (it was killed, or the machine hung).

A process is ours when its environment carries the token of a record, or when it is the recorded pid with the recorded
identity, or a member of the session that such a pid leads. Nothing else is touched: a pid that was given to another
process since has another identity and no token.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from hearth.local.state import TOKEN_VARIABLE, ProcessRecord, process_identity

STRAY_GRACE = 2.0
"""Seconds that a process which outlived its leader gets to end."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A process left behind. `process` refuses to signal a successor that got the same pid (psutil checks)."""

    process: psutil.Process
    record: ProcessRecord


def find_orphans(records: Sequence[ProcessRecord]) -> tuple[Orphan, ...]:
    """The live processes that belong to the records."""
    if not records:
        return ()
    by_token = {record.token: record for record in records}
    leaders = {
        record.pid: record
        for record in records
        if record.pid is not None and record.identity is not None and process_identity(record.pid) == record.identity
    }
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        record = by_token.get(_token(process)) or leaders.get(process.pid) or leaders.get(_session(process.pid))
        if record is not None and _alive(process):
            found.append(Orphan(process, record))
    return tuple(found)


def end_marked(record: ProcessRecord) -> None:
    """End what carries the token of a record whose process has ended. Blocking."""
    end_processes([orphan.process for orphan in find_orphans([record])], STRAY_GRACE)


def end_processes(processes: Iterable[psutil.Process], grace: float) -> int:
    """SIGTERM, `grace` seconds, SIGKILL. Blocking. Returns how many were alive."""
    mine = [process for process in processes if _alive(process)]
    for process in mine:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in _wait(mine, grace):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _wait(mine, STRAY_GRACE)
    return len(mine)


def _wait(processes: Sequence[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Those that still run after `timeout` seconds. Not psutil's own wait: it waits for zombies too, and an orphan
    stays one where nobody reaps (a container without an init process)."""
    end = time.monotonic() + timeout
    while (left := [process for process in processes if _alive(process)]) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def _token(process: psutil.Process) -> str:
    with suppress(psutil.Error, OSError):
        return process.environ().get(TOKEN_VARIABLE, "")
    return ""


def _session(pid: int) -> int:
    with suppress(OSError):
        return os.getsid(pid)
    return 0


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
