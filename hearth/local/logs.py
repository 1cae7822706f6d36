"""Log files of bounded size: what a replica prints goes to one file, which is set aside once when it is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 16 * 1024 * 1024
"""Largest log file; together with the one set aside, a replica's logs take at most twice that."""
_TAIL = 4096


class LogFile:
    """An append-only file that is renamed to `NAME.1` when it reaches `max_bytes`; the one before that is dropped."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._tail = b""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, data: bytes) -> None:
        """Append. Raises OSError when the disk is full."""
        if self._size + len(data) > self._max_bytes and self._size:
            self._file.close()
            self.path.replace(set_aside(self.path))
            self._file = self.path.open("ab", buffering=0)
            self._size = 0
        self._tail = (self._tail + data)[-_TAIL:]
        self._file.write(data)
        self._size += len(data)

    def note(self, text: str) -> None:
        """Add a line of our own; `last_line` starts anew after it."""
        self.write(f"--- hearth: {text} ---\n".encode())
        self._tail = b""

    def last_line(self) -> str:
        """The last line with text in it since the last note; empty when there is none."""
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def close(self) -> None:
        self._file.close()


def set_aside(path: Path) -> Path:
    """Where a full log file goes."""
    return path.with_name(path.name + ".1")


def read_log(path: Path) -> Iterator[bytes]:
    """What was printed and is still kept, oldest first, in blocks."""
    for part in (set_aside(path), path):
        if part.exists():
            with part.open("rb") as file:
                while block := file.read(65536):
                    yield block


class Follower:
    """Reads what is added to a log from now on, also when the file is set aside meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("rb")
        self._file.seek(0, 2)

    def read(self) -> bytes:
        """What came since the last call."""
        data = self._file.read()
        try:
            moved = self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return data  # between the rename and the new file
        if moved:
            data += self._file.read()  # written between the read and the rename
            self._file.close()
            self._file = self._path.open("rb")
            data += self._file.read()
        return data

    def close(self) -> None:
        self._file.close()
