"""Log files of bounded size: the output of a replica goes to one file, which is rotated once when it is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 16 * 1024 * 1024
"""Bytes of the largest log file; with the rotated one, a replica's logs take at most twice that."""
_TAIL = 4096


class LogFile:
    """Append-only file that is renamed to `NAME.1` when it reaches `max_bytes`; an earlier `NAME.1` is deleted."""

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
            self.path.replace(rotated(self.path))
            self._file = self.path.open("ab", buffering=0)
            self._size = 0
        self._tail = (self._tail + data)[-_TAIL:]
        self._file.write(data)
        self._size += len(data)

    def note(self, text: str) -> None:
        """Append a line of Hearth's; `last_line` ignores what precedes it."""
        self.write(f"--- hearth: {text} ---\n".encode())
        self._tail = b""

    def last_line(self) -> str:
        """Return the last line with text since the last note; empty when there is none."""
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def rotated(path: Path) -> Path:
    """Return the path of the rotated log file."""
    return path.with_name(path.name + ".1")


def read_log(path: Path) -> Iterator[bytes]:
    """Yield what is still kept of a log, oldest first, in blocks."""
    for part in (rotated(path), path):
        if part.exists():
            with part.open("rb") as file:
                while block := file.read(65536):
                    yield block


class Follower:
    """Reader of what is appended to a log from now on, across its rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("rb")
        self._file.seek(0, 2)

    def read(self) -> bytes:
        """Return what was appended since the last call."""
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
        """Close the file."""
        self._file.close()
