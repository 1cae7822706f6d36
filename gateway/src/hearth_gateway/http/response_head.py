"""Head of a backend's response: its status, its framing, and the lines that a client may see."""

from __future__ import annotations

from typing import NamedTuple

MAX_HEAD = 64 * 1024
"""Bytes."""
_THIS_HOP = (b"keep-alive", b"x-accel-buffering", b"proxy-connection", b"trailer", b"upgrade")


class BadResponse(Exception):
    """A response that is not HTTP/1.1; the message says why, with "it" for the response."""


class ResponseHead(NamedTuple):
    """A head without what concerns the connection to the backend alone."""

    status: int
    lines: list[bytes]
    """The status line and the headers that are passed on."""
    length: int | None
    """Bytes of the body; None: it is chunked, or ends with the connection."""
    chunked: bool
    keep: bool
    """Whether the connection may be used again."""
    sse: bool
    """Whether the body is a stream of events."""


def read_head(data: bytes) -> tuple[ResponseHead | None, bytes]:
    """Return the head of a final response and what follows it, or None and the incomplete head. Raises BadResponse."""
    while True:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > MAX_HEAD:
                raise BadResponse("it has no end of headers within 64 KiB")
            return None, data
        lines = data[:end].split(b"\r\n")
        rest = data[end + 4 :]
        status = _read_status(lines[0])
        if status >= 200:
            return _read_lines(status, lines), rest
        data = rest  # an interim response; the real one follows


def _read_status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    digits = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not digits.isdigit() or not 100 <= int(digits) <= 599:
        raise BadResponse(f"it starts with {line[:60]!r}, which is not HTTP")
    status = int(digits)
    if status == 101:
        raise BadResponse("it switches protocols, which no request asked for")
    return status


def _read_lines(status: int, lines: list[bytes]) -> ResponseHead:
    version, _, rest = lines[0].partition(b" ")
    length: int | None = None
    chunked = False
    keep = version == b"HTTP/1.1"
    kept = [b"HTTP/1.1 " + rest]
    content_type = b""
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if name == b"content-length":
            if not value.isdigit() or (length is not None and length != int(value)):
                raise BadResponse(f"its Content-Length is {value[:30]!r}")
            length = int(value)
        elif name == b"transfer-encoding":
            chunked = value.lower() == b"chunked"
            if not chunked:
                raise BadResponse(f"its Transfer-Encoding is {value[:30]!r}")
        elif name == b"connection":
            keep = keep and b"close" not in value.lower()
        elif name not in _THIS_HOP:
            if name == b"content-type":
                content_type = value.lower()
            kept.append(line)
    return ResponseHead(
        status=status,
        lines=kept,
        length=None if chunked else length,
        chunked=chunked,
        keep=keep,
        sse=content_type.startswith(b"text/event-stream"),
    )
