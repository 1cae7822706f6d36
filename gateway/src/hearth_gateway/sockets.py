"""Sockets that a gateway listens on."""

from __future__ import annotations

import resource
import socket

BACKLOG = 4096
"""Connections that the kernel keeps until they are accepted."""


def open_everywhere(port: int) -> socket.socket:
    """Return a socket on every address of this machine, IPv4 and IPv6. Raises OSError."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=BACKLOG)


def raise_file_limit() -> None:
    """Use what the system allows without asking: every held request is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
