"""Decoder of HTTP/1.1 chunked bodies that come from backends (RFC 9112 7.1)."""

from __future__ import annotations

import re

_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\Z")
MAX_LINE = 1024
"""Bytes."""


class BadChunk(Exception):
    """Framing that is broken: what follows cannot be trusted."""


class ChunkDecoder:
    """The decoder of one body. `done` after the last chunk and its trailer; `rest` then holds surplus bytes."""

    __slots__ = ("_line", "_remaining", "_state", "done", "rest")

    _SIZE_LINE, _DATA, _DATA_END, _TRAILER = range(4)

    def __init__(self) -> None:
        self._line = b""
        self._remaining = 0
        self._state = self._SIZE_LINE
        self.done = False
        self.rest = b""

    @property
    def at_boundary(self) -> bool:
        """Whether the next byte starts a chunk."""
        return self._state == self._SIZE_LINE and not self._line

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes in `data`. Raises BadChunk."""
        parts = []
        data = self._line + data
        self._line = b""
        position = 0
        while position < len(data) and not self.done:
            if self._state == self._DATA:
                part = data[position : position + self._remaining]
                parts.append(part)
                position += len(part)
                self._remaining -= len(part)
                if not self._remaining:
                    self._state = self._DATA_END
                continue
            end = data.find(b"\r\n", position, position + MAX_LINE)
            if end < 0:
                if len(data) - position >= MAX_LINE:
                    raise BadChunk("a chunk header longer than 1 KiB")
                self._line = data[position:]
                return b"".join(parts)
            line = data[position:end]
            position = end + 2
            self._read_line(line)
        if self.done:
            self.rest = data[position:]
        return b"".join(parts)

    def _read_line(self, line: bytes) -> None:
        if self._state == self._DATA_END:
            if line:
                raise BadChunk("a chunk longer than its size says")
            self._state = self._SIZE_LINE
        elif self._state == self._TRAILER:
            if not line:
                self.done = True
        else:
            match = _SIZE.match(line)
            if match is None:
                raise BadChunk(f"the chunk size {line[:20]!r}")
            self._remaining = int(match[1], 16)
            self._state = self._DATA if self._remaining else self._TRAILER
