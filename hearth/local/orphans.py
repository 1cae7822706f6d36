"""Orphans: processes that an earlier `hearth up` owned and could not stop, because it was killed.

A process is ours when its environment carries the token of a record, or when it is the recorded pid with the recorded
identity, or a member of the session that such a pid leads. No other process is touched: a process that reuses the pid
has another identity and no token.
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
"""Seconds between SIGTERM and SIGKILL for a process which outlived its leader."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """Process of an earlier `hearth up`. psutil refuses to signal another process that reuses its pid."""

    process: psutil.Process
    record: ProcessRecord


def find_orphans(records: Sequence[ProcessRecord]) -> tuple[Orphan, ...]:
    """Find the live processes that belong to the records."""
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


def stop_marked(record: ProcessRecord) -> None:
    """Stop processes with the token of a record whose own process has exited. Blocking."""
    stop_processes([orphan.process for orphan in find_orphans([record])], STRAY_GRACE)


def stop_processes(processes: Iterable[psutil.Process], grace: float) -> int:
    """Send SIGTERM, wait at most `grace` seconds, send SIGKILL; return how many were alive. Blocking."""
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
    """Return those that still run after `timeout` seconds.

    psutil's own wait would wait for zombies too, and an orphan stays a zombie where nothing reaps it, as in a container
    without an init process.
    """
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
