"""Locks that end with the process that holds them, whatever ends it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.devcluster.errors import BusyError


@contextmanager
def held(path: Path, busy: str | None) -> Iterator[None]:
    """Hold the lock file `path` for the block and remove it afterwards.

    Args:
        path: the file; its folder is made.
        busy: what to say when another process holds it; None waits for that process instead.

    Raises BusyError when another process holds it and `busy` was given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        # Close-on-exec (Python's default) keeps the lock out of the daemons that are started under it.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise BusyError(f"{busy} (process {holder or 'unknown'}); wait for it, or end it and try again") from None
        except BaseException:
            os.close(descriptor)
            raise
        # The holder before us removes the file as it leaves: only a lock on the file that is there counts.
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:  # noqa: PTH116 - compared with the descriptor's
                break
        except FileNotFoundError:
            pass
        os.close(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
