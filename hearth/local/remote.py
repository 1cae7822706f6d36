"""Client of the control socket, light enough for a quick command. The server is control.py."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hearth.api.errors import HearthError
from hearth.local.state import StateDir


def call(state: StateDir, request: Mapping[str, object], timeout: float | None = 10.0) -> Any:
    """Send a request to the `hearth up` of a state directory and return the answer; blocking, `timeout` in seconds.

    Raises HearthError with its error, and when no `hearth up` is running, or it does not answer in time.
    """
    instance = state.instance()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(instance.socket if instance is not None else "")
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = _read_line(connection)
        except TimeoutError as error:
            raise HearthError(
                f"`hearth up` (state directory {state.path}) did not answer within {timeout:g} s",
                "try again; its output shows what it is doing",
            ) from error
        except OSError as error:
            raise not_running(state) from error
    with suppress(ValueError):
        answer = json.loads(line)
        if "error" in answer:
            raise HearthError(answer["error"], answer["remedy"])
        return answer["ok"]
    raise HearthError(f"`hearth up` (state directory {state.path}) stopped before it answered", "start it again")


def not_running(state: StateDir) -> HearthError:
    """Return the error of a command that needs a running `hearth up`."""
    return HearthError(
        f"no `hearth up` is running on the state directory {state.path}",
        "start one with `hearth up -f FILE`, or name the directory of a running one with --state-dir",
    )


def is_running(state: StateDir) -> bool:
    """Return whether a `hearth up` runs on the state directory now."""
    try:
        call(state, {"do": "get"}, timeout=2.0)
    except HearthError:
        return False
    return True


def _read_line(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
        if part.endswith(b"\n"):
            break
    return b"".join(parts)
