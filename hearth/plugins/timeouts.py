"""Time-outs for calls of foreign code: an import or a hook that hangs must not hang Hearth."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Work = tuple[Callable[[], Any], "SimpleQueue[tuple[Any, BaseException | None]]"]


class HookTimeout(Exception):
    """Time-out of a call. The call may still be running in its thread, which nothing waits for."""


class BoundedCaller:
    """Caller of functions, one at a time in a thread of its own, each with a time-out.

    The thread is kept between calls, because starting one costs more than most calls. After a time-out it is abandoned
    (it is a daemon), and the next call gets a new one. Calls from several threads wait for each other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inbox: SimpleQueue[_Work] | None = None
        self._process = 0

    def call(self, function: Callable[[], T], seconds: float) -> T:
        """Return what the function returns; raise what it raises, SystemExit included, or HookTimeout after `seconds`."""
        with self._lock:
            if self._inbox is None or self._process != os.getpid():  # a fork does not copy the thread
                self._inbox, self._process = SimpleQueue(), os.getpid()
                threading.Thread(target=_serve, args=(self._inbox,), name="vendor-hooks", daemon=True).start()
            outbox: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
            self._inbox.put((function, outbox))
            try:
                result, error = outbox.get(timeout=seconds)
            except Empty:
                self._inbox = None
                raise HookTimeout(f"it did not return within {seconds:g} s") from None
        if error is not None:
            raise error
        value: T = result
        return value


def _serve(inbox: SimpleQueue[_Work]) -> None:
    while True:
        function, outbox = inbox.get()
        try:
            outcome: tuple[Any, BaseException | None] = (function(), None)
        except BaseException as exc:  # noqa: BLE001 - handed to the caller, who raises it
            outcome = (None, exc)
        outbox.put(outcome)
        del function, outbox, outcome


CALLER = BoundedCaller()
"""The caller of this process. Hooks take microseconds, so they can share it."""
