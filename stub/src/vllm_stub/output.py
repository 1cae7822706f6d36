"""Lines on standard output, as vLLM's log."""

from __future__ import annotations

import sys
from contextlib import suppress


def write_line(text: str) -> None:
    """Print a line. A reader that is gone ends neither a request nor a drain, as with Python's logging."""
    with suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
