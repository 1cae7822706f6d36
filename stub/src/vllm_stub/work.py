"""Work of the engine: one HTTP request and its times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Work:
    """A request as the engine sees it. Times are monotonic seconds, 0 until they happen.

    `count` tokens are produced per sequence, then it ends by `finish` ("stop" or "length").
    `hold` is extra silence before the first token in seconds, None for good.
    `end` is set from outside to end it early: "abort" or "error".
    """

    prompt_tokens: int
    count: int
    finish: str
    width: int = 1
    max_tokens: int = 0
    arrived: float = 0.0
    scheduled: float = 0.0
    first: float = 0.0
    last: float = 0.0
    clock: float = 0.0
    hold: float | None = 0.0
    produced: int = 0
    seated: bool = False
    end: str | None = None
    wake: asyncio.Future[None] | None = field(default=None, repr=False)
