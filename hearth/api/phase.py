"""The phase of a service: its state in one word."""

from __future__ import annotations

from typing import Final, Literal, get_args

Phase = Literal["Pending", "Loading", "Ready", "ScaledToZero", "Degraded"]

PHASES: Final[tuple[Phase, ...]] = get_args(Phase)
