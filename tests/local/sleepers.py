"""Sleepers: processes that do nothing until they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from hearth.local.state import TOKEN_VARIABLE


class Sleepers:
    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def __call__(self, token: str | None = None, code: str = "import time; time.sleep(60)") -> int:
        env = dict(os.environ) | ({TOKEN_VARIABLE: token} if token else {})
        process = subprocess.Popen([sys.executable, "-c", code], env=env, start_new_session=True)
        self._started.append(process)
        return process.pid

    def kill(self, pid: int) -> None:
        """Kill one and wait for its end: a signal that was sent has not been acted on yet."""
        os.kill(pid, signal.SIGKILL)
        next(process for process in self._started if process.pid == pid).wait()

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
