"""vLLM: the metric names and probes that plugins for vLLM engines share.

Import it inside hooks, as all that needs the API models. Source: vLLM 0.25.1 and 0.33.0.
"""

from __future__ import annotations

from hearth.api import Probe
from hearth.plugins.types import MetricsEndpoint, ProbeSet

METRICS = MetricsEndpoint(
    names={
        "queueDepth": "vllm:num_requests_waiting",
        "running": "vllm:num_requests_running",
        "kvCacheUtil": "vllm:kv_cache_usage_perc",
        "ttft": "vllm:time_to_first_token_seconds",
    }
)
"""Metrics by their meaning (vllm/v1/metrics/loggers.py)."""

PROBES = ProbeSet(startup=Probe(period_seconds=5, failure_threshold=360), readiness=Probe(period_seconds=5))
"""GET /health every 5 s. The startup probe allows half an hour: the first start downloads the weights, and a restart
would download them again."""
