"""Limits on what clients can make one gateway process keep: connections, memory and time."""

from __future__ import annotations

from dataclasses import dataclass

from hearth_gateway.config import Limits


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Bounds per process, in bytes and seconds."""

    max_connections: int = 10_000
    max_head_bytes: int = 32 * 1024
    max_buffered_bytes: int = 512 * 1024 * 1024
    """For all requests that are being read, and large ones until their response begins."""
    head_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    """For a body, and a second more for every KiB received."""
    idle_timeout_seconds: float = 75.0


class RequestBudget:
    """The memory that requests may take: each by itself, and all of them together."""

    __slots__ = ("_capacity", "max_head_bytes", "max_request_bytes", "used")

    def __init__(self, limits: GatewayLimits) -> None:
        self.max_head_bytes = limits.max_head_bytes
        self.max_request_bytes = Limits().max_request_bytes  # the largest of any service; see ServiceTable
        self.used = 0
        self._capacity = limits.max_buffered_bytes

    def take(self, size: int) -> bool:
        """Reserve `size` bytes; return False when they are not left."""
        if self.used + size > self._capacity:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Release `size` reserved bytes."""
        self.used -= size
