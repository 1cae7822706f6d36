"""Other ends that are gone without a word, such as lost nodes: the kernel finds them within 30 s."""

from __future__ import annotations

import socket

LOST_AFTER = 30  # seconds
_OPTIONS = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


def keep_alive(sock: socket.socket) -> None:
    """Ask a silent other end whether it is there. Connections inherit it from the socket that accepted them."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _OPTIONS:
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def limit_silence(sock: socket.socket) -> None:
    """End a connection whose other end takes nothing of what it is sent, too, where the platform can.

    Keepalive does not ask while something is not acknowledged, and the kernel would send it again for a quarter of an hour.
    """
    keep_alive(sock)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_AFTER * 1000)
