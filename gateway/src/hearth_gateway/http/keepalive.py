"""TCP keepalive: the kernel finds peers that vanished, such as lost nodes, within 30 s."""

from __future__ import annotations

import socket

LOST_AFTER = 30
"""Seconds."""
_OPTIONS = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


def keep_alive(sock: socket.socket) -> None:
    """Have the kernel probe a silent peer. Accepted connections inherit this from the listening socket."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _OPTIONS:
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def limit_silence(sock: socket.socket) -> None:
    """Close connections whose peer acknowledges nothing, too, where the platform can.

    Keepalive does not probe while data is unacknowledged, which the kernel would retransmit for a quarter of an hour.
    """
    keep_alive(sock)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_AFTER * 1000)
