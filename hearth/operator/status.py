"""The status of a service, from what is seen of it. Pure: the same sight gives the same status, whatever the time."""

from __future__ import annotations

from typing import Any

from hearth.operator.observation import Observed

__all__ = ["Observed", "service_status", "waiting_notice"]


def service_status(observed: Observed) -> dict[str, Any]:
    """Return `.status` on the wire form."""
    raise NotImplementedError


def waiting_notice(observed: Observed) -> str | None:
    """Return a short sentence for clients that wait for this service, None when all is normal."""
    raise NotImplementedError
