"""Control of the node's first process, over its socket."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

from tools.devcluster.errors import NodeError, NotRunningError
from tools.devcluster.paths import Paths


def _connect(paths: Paths, timeout: float) -> socket.socket:
    folder = os.open(paths.root, os.O_PATH | os.O_DIRECTORY)
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            # Through the descriptor: the path of a socket is limited to 107 bytes.
            connection.connect(f"/proc/self/fd/{folder}/{paths.socket.name}")
        except BaseException:
            connection.close()
            raise
        return connection
    finally:
        os.close(folder)


def init_pid(paths: Paths) -> int | None:
    """Return the node's first process as this machine numbers it; None when there is none."""
    try:
        with _connect(paths, 2) as connection:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    return int(struct.unpack("3i", credentials)[0]) or None


def ask(paths: Paths, request: dict[str, Any], timeout: float = 10) -> dict[str, Any]:
    """Send a request and return the answer.

    Raises NotRunningError when nothing listens; NodeError when it answers with an error, or not within `timeout` seconds.
    """
    try:
        connection = _connect(paths, timeout)
    except OSError:
        raise NotRunningError(f"cluster {paths.name!r} is not running; start it with: up --name {paths.name}") from None
    with connection:
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            data = b""
            while not data.endswith(b"\n"):
                more = connection.recv(65536)
                if not more:
                    break
                data += more
            reply: dict[str, Any] = json.loads(data)
        except (OSError, ValueError) as error:
            raise NodeError(f"the node of {paths.name!r} does not answer: {error}") from error
    if "error" in reply:
        raise NodeError(str(reply["error"]))
    return reply
