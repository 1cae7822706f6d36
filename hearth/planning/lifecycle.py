"""The termination of a backend: how long it may drain, and how long until it is killed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hearth.api import InferenceRuntime, LLMService

DEFAULT_GRACE = 30
"""Seconds from the first signal to the kill; Kubernetes' own default."""

DRAIN_MARGIN = 10
"""Seconds that the grace period is longer than the drain, for the engine's own end."""

ENDPOINT_REMOVAL = 2
"""Seconds before the first signal in which the gateway learns, by its watch, that the endpoint is being removed.

vLLM keeps accepting connections while it drains but refuses the work, so no request may be sent to it any more.
"""

SHUTDOWN_FLAG = "--shutdown-timeout"


@dataclass(frozen=True, slots=True)
class Ending:
    """`grace_period` is whole seconds from the beginning of the end to the kill; `pre_stop` is a Kubernetes handler."""

    grace_period: int
    pre_stop: Mapping[str, Any] | None
    drains_itself: bool


def plan_ending(service: LLMService, runtime: InferenceRuntime, args: Sequence[str]) -> Ending:
    """Plan the end of a backend whose rendered arguments are `args`.

    With `--shutdown-timeout` among them the engine ends when its last request does. Without it all that is left is the
    reference implementation's way: wait the whole drainTimeout, then let the engine abort what still runs.
    """
    lifecycle = runtime.spec.lifecycle
    grace = lifecycle.termination_grace_period_seconds or DEFAULT_GRACE
    drain = math.ceil(service.spec.scaling.drain_timeout.seconds)
    if not lifecycle.pre_stop_drain or drain == 0:
        return Ending(grace, None, drains_itself=False)
    drains_itself = has_flag(args, SHUTDOWN_FLAG)
    wait = min(ENDPOINT_REMOVAL, drain) if drains_itself else drain
    return Ending(max(grace, drain + DRAIN_MARGIN), {"sleep": {"seconds": wait}}, drains_itself)


def has_flag(args: Sequence[str], *flags: str) -> bool:
    """Say whether one of the flags is among the arguments, as `--flag` or `--flag=value`."""
    return any(arg == flag or arg.startswith(f"{flag}=") for arg in args for flag in flags)
