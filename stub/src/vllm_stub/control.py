"""POST /control: change the stub while it runs (the reference stub's gauges, and this one's faults and pace)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from vllm_stub.durations import parse_duration
from vllm_stub.engine import Engine
from vllm_stub.errors import ApiError, error_body
from vllm_stub.faults import FaultError, Faults
from vllm_stub.inference import FOREVER, Inference
from vllm_stub.metrics import FROZEN_GAUGES, Metrics

GAUGES = {
    "waiting": "num_requests_waiting",
    "running": "num_requests_running",
    "kv_cache_usage": "kv_cache_usage_perc",
    **{name: name for name in FROZEN_GAUGES},
    **{f"vllm:{name}": name for name in FROZEN_GAUGES},
}
HEALTH = (None, 503, "hang")


class Control:
    """The state behind /control."""

    def __init__(self, engine: Engine, metrics: Metrics, faults: Faults, inference: Inference) -> None:
        self._inference = inference
        self._engine = engine
        self._metrics = metrics
        self._faults = faults
        self._health: int | str | None = None

    def apply(self, body: Mapping[str, Any]) -> None:
        """Do what each key says, null undoing it; raises ApiError 400 that names the key and what it takes."""
        for key, value in body.items():
            try:
                self._apply(key, value, body)
            except (FaultError, ValueError, TypeError) as error:
                raise _refused(f"{key}: {value!r} cannot be used; {error}") from error

    def state(self) -> dict[str, Any]:
        """Return what a test wants to see beside the metrics."""
        return {
            "pid": os.getpid(),
            "requests": self._inference.requests,
            "open": self._inference.open,
            "running": self._engine.running,
            "waiting": self._engine.waiting,
            "frozen": dict(self._metrics.frozen),
            "health": self._health,
            "token_count": self._engine.token_count,
            "token_delay": self._engine.token_delay,
            "prefill_delay": self._engine.prefill_delay,
            **self._faults.state(),
        }

    async def health_gate(self) -> None:
        """Let /health fail or hang while /control says so."""
        if self._health == "hang":
            await asyncio.sleep(FOREVER)
        elif self._health is not None:
            raise ApiError(503, None)

    def _apply(self, key: str, value: Any, body: Mapping[str, Any]) -> None:
        gauge = GAUGES.get(key)
        if gauge is not None:
            if value is None:
                self._metrics.frozen.pop(gauge, None)
            else:
                self._metrics.frozen[gauge] = float(value)
        elif key == "fault":
            self._faults.stand(value, body.get("times"))
        elif key == "times":
            if "fault" not in body:
                raise ValueError('it belongs beside "fault"')
        elif key == "token_count":
            self._engine.token_count = max(0, int(value))
        elif key in ("token_delay", "prefill_delay"):
            setattr(self._engine, key, parse_duration(value))
        elif key == "health":
            if value not in HEALTH:
                raise ValueError('give 503, "hang" or null')
            self._health = value
        elif key == "die":
            if value is not True:
                raise ValueError("give true; a dead engine stays dead")
            self._engine.die()
        else:
            known = ", ".join(
                [*GAUGES, "fault", "times", "token_count", "token_delay", "prefill_delay", "health", "die"]
            )
            raise ValueError(f"known keys are {known}")


def _refused(message: str) -> ApiError:
    return ApiError(400, error_body(message, "BadRequestError", 400))
