"""Guard that records what a hook accesses: files, the network, processes, the clock, the environment.

Uses Python's audit events, which cannot be removed again, and replaces functions of `os` and `time`; so it belongs into
a process of its own, and must be installed before the plugin is imported.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_EVENTS = (
    "open",
    "os.",
    "shutil.",
    "tempfile.",
    "glob.",
    "pathlib.",
    "socket.",
    "subprocess.",
    "pty.",
    "ctypes.",
    "urllib.",
    "http.client.",
    "ftplib.",
    "imaplib.",
    "poplib.",
    "smtplib.",
    "telnetlib.",
    "sqlite3.",
    "mmap.",
    "signal.",
    "_thread.start_new_thread",
)
_READING = ("open", "os.listdir", "os.scandir", "os.stat", "os.lstat")
_UNAUDITED = ("stat", "lstat", "access", "readlink", "getcwd", "getpid", "uname", "cpu_count", "getloadavg", "urandom")
_CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "localtime", "gmtime")


class Guard:
    """Records what happens while `watching`. What an import does is not the hook's doing and is left out."""

    def __init__(self) -> None:
        self.accesses: list[str] = []
        self._active = False
        self._installer = 0
        self._readable: Path | None = None

    def install(self) -> None:
        """Start to listen. Only what other threads than this one do while `watching` is recorded: hooks run in one."""
        self._installer = threading.get_ident()
        sys.addaudithook(self._audit)
        for name in _UNAUDITED:
            if hasattr(os, name):
                setattr(os, name, self._recording(f"os.{name}", getattr(os, name)))
        for name in _CLOCKS:
            setattr(time, name, self._recording(f"time.{name}", getattr(time, name)))
        environment = type(os.environ)
        for name in ("__getitem__", "__iter__", "__len__"):
            setattr(environment, name, self._recording("os.environ", getattr(environment, name), skip=1))

    @contextmanager
    def watching(self, *, readable: Path | None = None) -> Iterator[list[str]]:
        """Record into the list that is given; reading below `readable` is allowed."""
        self.accesses, self._readable, self._active = [], readable, True
        try:
            yield self.accesses
        finally:
            self._active = False

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._watches() and event.startswith(_EVENTS):
            self._note(event, arguments)

    def _recording(self, name: str, function: Callable[..., Any], *, skip: int = 0) -> Callable[..., Any]:
        def recording(*args: Any, **kwargs: Any) -> Any:
            if self._watches():
                self._note(name, args[skip:])
            return function(*args, **kwargs)

        return recording

    def _watches(self) -> bool:
        return self._active and threading.get_ident() != self._installer

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        self._active = False  # what follows must not watch itself
        try:
            if not _importing() and not self._may_read(event, arguments):
                text = f"{event}({', '.join(repr(argument) for argument in arguments[:2])})"
                if text not in self.accesses:
                    self.accesses.append(text)
        finally:
            self._active = True

    def _may_read(self, event: str, arguments: tuple[object, ...]) -> bool:
        if self._readable is None or event not in _READING or not arguments:
            return False
        path, mode = arguments[0], arguments[1] if event == "open" and len(arguments) > 1 else "r"
        writes = isinstance(mode, str) and set(mode) & set("wax+")
        return not writes and isinstance(path, str | os.PathLike) and Path(path).is_relative_to(self._readable)


def _importing() -> bool:
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to walk the stack without building one
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False
