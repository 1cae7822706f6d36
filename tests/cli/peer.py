"""Peer of commands: a control socket that plays `hearth up`."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import asdict
from typing import Any

from typer.testing import CliRunner

from hearth.cli.app import app
from hearth.local.state import StateDir
from hearth.local.views import ServiceView

READY = ServiceView("qwen", "ai", "Ready", "", "vllm-fake", 2, 2, 0, 3, 312.4)
WAITING = ServiceView("llama", "ai", "Pending", "needs 1 accelerator of vendor fake", "vllm-fake", 0, 1, 4, 0, 59.0)


class Peer:
    """Plays `hearth up`: answers every request with `answer` and keeps what was asked."""

    def __init__(self, state: StateDir) -> None:
        self.state = state
        self.answer: dict[str, object] = {"ok": [asdict(WAITING), asdict(READY)]}
        self.asked: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(state.socket_path()))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, connection.makefile("rwb") as file:
                line = file.readline()
                if not line:
                    return
                self.asked.append(json.loads(line))
                file.write(json.dumps(self.answer).encode() + b"\n")

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.state.socket_path()))
        self._thread.join()
        self._socket.close()


def run(*args: str) -> str:
    """Return the standard output of a command that succeeds; its HearthError is raised."""
    result = CliRunner().invoke(app, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout
