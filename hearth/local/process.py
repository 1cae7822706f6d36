"""Process of the operating system: started in its own session, its output in a log, its exit noticed at once.

The session makes the whole tree one process group: a terminal's Ctrl-C does not reach it, and one signal stops what the
engine forked. When the leader exits, the rest of its group is killed before the leader is reaped, because until then
the kernel cannot reuse the number of the group.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hearth.api.errors import HearthError
from hearth.local.logs import LogFile

PORTS = range(20000, 30000)
"""Ports of engines. They are below the ephemeral ports of Linux (32768..) and macOS (49152..), so no outgoing connection
takes a port between its choice and the engine's bind."""


@dataclass(frozen=True, slots=True)
class Exit:
    """Exit of a process: an exit code, or the number of the signal that killed it."""

    code: int
    signal: int | None = None

    def __str__(self) -> str:
        if self.signal is None:
            return f"exited with code {self.code}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(self.signal).name}"
        return f"was killed by signal {self.signal}"


class Process:
    """Started process. Create it with `start_process`."""

    def __init__(self, popen: subprocess.Popen[bytes], output: int, log: LogFile) -> None:
        self.pid = popen.pid
        self.log = log
        self._popen = popen
        self._output: int | None = output
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Exit] = self._loop.create_future()
        os.set_blocking(output, False)
        self._loop.add_reader(output, self._read)
        self._watch()

    @property
    def ended(self) -> Exit | None:
        """Its exit, or None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> Exit:
        """Return when the process has exited and its group is gone."""
        return await asyncio.shield(self._ended)

    def terminate(self) -> None:
        """Send SIGTERM to the leader, which knows how to stop its workers in order."""
        if not self._ended.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the whole group."""
        if not self._ended.done():
            self._kill_group()

    async def stop(self, grace: float) -> Exit:
        """Send SIGTERM, wait at most `grace` seconds, then send SIGKILL to the whole group."""
        self.terminate()
        try:
            async with asyncio.timeout(grace):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    def _watch(self) -> None:
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                pidfd = os.pidfd_open(self.pid)
                self._loop.add_reader(pidfd, self._exited, pidfd)
                return
        threading.Thread(target=self._watch_blocking, name=f"wait-{self.pid}", daemon=True).start()

    def _watch_blocking(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with suppress(RuntimeError):  # the loop is closed: the program is exiting
            self._loop.call_soon_threadsafe(self._exited, None)

    def _exited(self, pidfd: int | None) -> None:
        if pidfd is not None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
        self._kill_group()
        code = self._popen.wait()
        self._read()
        self._close_output()
        if not self._ended.done():
            self._ended.set_result(Exit(code) if code >= 0 else Exit(128 - code, -code))

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _read(self) -> None:
        """Move output to the log. One call moves a bounded amount, so a chatty engine starves no other."""
        for _ in range(16):
            if self._output is None:
                return
            try:
                data = os.read(self._output, 65536)
            except BlockingIOError:
                return
            if not data:
                self._close_output()
                return
            with suppress(OSError):  # a full disk must not stop the service; the log has a gap then
                self.log.write(data)

    def _close_output(self) -> None:
        if self._output is not None:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = None


def start_process(argv: Sequence[str], env: Mapping[str, str], cwd: str | None, log: LogFile) -> Process:
    """Start `argv` with exactly `env`. Raises HearthError when the command cannot be started."""
    read, write = os.pipe()
    try:
        popen = subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        os.close(read)
        raise start_error(argv, cwd, error) from error
    finally:
        os.close(write)
    return Process(popen, read, log)


def start_error(argv: Sequence[str], cwd: str | None, error: OSError | ValueError) -> HearthError:
    """Return why a command did not start. It names the command only: arguments may contain secrets."""
    command = argv[0]
    if cwd is not None and not Path(cwd).is_dir():
        return HearthError(f"the working directory {cwd} of {command} does not exist", "create it")
    if isinstance(error, FileNotFoundError):
        what = "does not exist" if "/" in command else "was not found on PATH"
        return HearthError(f"the command {command} {what}", "install it, or correct the runtime's command")
    if isinstance(error, PermissionError):
        return HearthError(f"the command {command} is not executable", f"chmod +x {command}")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return HearthError(f"the command {command} cannot be run: {reason}", "")


def free_port(taken: Container[int], host: str = "127.0.0.1") -> int:
    """Return a port of `PORTS` that is free and not in `taken`. Raises HearthError if there is none."""
    for port in random.sample(PORTS, len(PORTS)):
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise HearthError(
        f"no free port in {PORTS.start}..{PORTS.stop - 1} on {host}", "stop programs that use these ports"
    )
