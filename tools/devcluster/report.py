"""Lines for the person who waits: steps with their seconds on stderr, answers on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def answer(text: str) -> None:
    """One line on stdout: what a script may read."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say how long the block took, in seconds; nothing when it fails, the error says it."""
    started = time.monotonic()
    yield
    say(f"  {time.monotonic() - started:6.1f} s  {title}")
