"""Go durations ("250ms", "1m30s"), the notation of every STUB_* time."""

from __future__ import annotations

import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")


def parse_duration(text: str) -> float:
    """Seconds of a non-negative Go duration; raises ValueError saying what a duration looks like."""
    body = text.strip()
    if body == "0":
        return 0.0
    position = 0
    seconds = 0.0
    while position < len(body):
        part = _PART.match(body, position)
        if part is None:
            break
        seconds += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not body or position != len(body):
        raise ValueError(f"{text!r} is not a non-negative duration; write it like 250ms, 15s or 1m30s")
    return seconds
