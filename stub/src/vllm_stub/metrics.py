"""Metrics of the engine and of the HTTP server, as a real vLLM exposes them."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    Summary,
)

from vllm_stub.families import FAMILIES, SLEEP_STATES, Family, length_buckets
from vllm_stub.work import Work

HTTP_BUCKETS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5),
    *(7.5, 10, 30, 60),
)
FROZEN_GAUGES = ("num_requests_waiting", "num_requests_running", "kv_cache_usage_perc")
"""Gauges that POST /control may hold at a value."""

_CACHE_CONFIG = {
    "engine": "0",
    "block_size": "16",
    "cache_dtype": "auto",
    "enable_prefix_caching": "True",
    "gpu_memory_utilization": "0.92",
}


class Metrics:
    """Counts of the engine and the server. Call `refresh` before every exposition."""

    def __init__(self, model_name: str, max_model_len: int) -> None:
        self.registry = CollectorRegistry()
        self.frozen: dict[str, float] = {}
        GCCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        ProcessCollector(registry=self.registry)
        self._counters: dict[tuple[str, str], Counter] = {}
        self._gauges: dict[tuple[str, str], Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        lengths = length_buckets(max_model_len)
        for family in FAMILIES:
            self._add(family, model_name, family.buckets or lengths)
        config = Gauge(
            "vllm:cache_config_info", "Information of the LLMEngine CacheConfig", _CACHE_CONFIG, registry=self.registry
        )
        config.labels(**_CACHE_CONFIG).set(1)
        self.http = HttpMetrics(self.registry)

    def _add(self, family: Family, model_name: str, buckets: Sequence[float]) -> None:
        own = {"model_name": model_name, **({"engine": "0"} if family.of_engine else {})}
        name, labels = f"vllm:{family.name}", (*own, *filter(None, [family.label]))
        children = {(family.name, value): (*own.values(), *filter(None, [value])) for value in family.values}
        match family.kind:
            case "counter":
                counter = Counter(name, family.text, labels, registry=self.registry)
                self._counters |= {key: counter.labels(*values) for key, values in children.items()}
            case "gauge":
                gauge = Gauge(name, family.text, labels, registry=self.registry)
                self._gauges |= {key: gauge.labels(*values) for key, values in children.items()}
            case "histogram":
                histogram = Histogram(name, family.text, labels, buckets=buckets, registry=self.registry)
                self._histograms[family.name] = histogram.labels(*own.values())

    def refresh(self, *, waiting: int, running: int, cache_usage: float, sleep_level: int | None) -> None:
        """Write the gauges from the engine's state, or from what /control froze."""
        state = {"num_requests_waiting": waiting, "num_requests_running": running, "kv_cache_usage_perc": cache_usage}
        shown = state | self.frozen
        for name, value in shown.items():
            self._gauges[name, ""].set(value)
        self._gauges["num_requests_waiting_by_reason", "capacity"].set(shown["num_requests_waiting"])
        for name, level in SLEEP_STATES.items():
            self._gauges["engine_sleep_state", name].set(sleep_level == level)

    def token(self, work: Work, now: float) -> None:
        """Count one engine step of a work; call it before the work's own times are updated."""
        self._count("generation_tokens", work.width)
        if work.produced:
            self._observe("iteration_tokens_total", work.width)
            self._observe("inter_token_latency_seconds", now - work.last)
            return
        prompt = work.prompt_tokens
        self._observe("iteration_tokens_total", prompt + work.width)
        self._observe("time_to_first_token_seconds", now - work.arrived)
        self._count("prompt_tokens", prompt)
        self._count("prompt_tokens_by_source", prompt, "local_compute")
        self._count("prefix_cache_queries", prompt)
        self._observe("request_prefill_kv_computed_tokens", prompt)

    def finished(self, work: Work, reason: str) -> None:
        """Count a work that left the engine."""
        self._count("request_success", work.width, reason)
        if not work.first:
            return
        self._observe("request_params_n", work.width)
        self._observe("request_params_max_tokens", work.max_tokens)
        self._observe("request_max_num_generation_tokens", work.produced)
        self._observe("request_prompt_tokens", work.prompt_tokens)
        self._observe("request_generation_tokens", work.produced)
        self._observe("request_num_preemptions", 0)
        self._observe("e2e_request_latency_seconds", work.last - work.arrived)
        self._observe("request_queue_time_seconds", work.scheduled - work.arrived)
        self._observe("request_inference_time_seconds", work.last - work.scheduled)
        self._observe("request_prefill_time_seconds", work.first - work.scheduled)
        self._observe("request_decode_time_seconds", work.last - work.first)
        if work.produced > 1:
            mean = (work.last - work.first) / (work.produced - 1)
            self._observe("request_time_per_output_token_seconds", mean)

    def rejected(self) -> None:
        """Count a request that was refused because of --max-num-queued-reqs."""
        self._count("admission_rejections", 1, "max_num_queued_reqs")

    def _count(self, name: str, amount: float, value: str = "") -> None:
        self._counters[name, value].inc(amount)

    def _observe(self, name: str, value: float) -> None:
        self._histograms[name].observe(value)


class HttpMetrics:
    """Families of the server's middleware (prometheus-fastapi-instrumentator)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "http_requests_total",
            "Total number of requests by method, status and handler.",
            ("method", "status", "handler"),
            registry=registry,
        )
        self._request_size = Summary(
            "http_request_size_bytes",
            "Content length of incoming requests by handler. Only value of header is respected. "
            "Otherwise ignored. No percentile calculated. ",
            ("handler",),
            registry=registry,
        )
        self._response_size = Summary(
            "http_response_size_bytes",
            "Content length of outgoing responses by handler. Only value of header is respected. "
            "Otherwise ignored. No percentile calculated. ",
            ("handler",),
            registry=registry,
        )
        self._duration_fine = Histogram(
            "http_request_duration_highr_seconds",
            "Latency with many buckets but no API specific labels. Made for more accurate percentile calculations. ",
            buckets=HTTP_BUCKETS,
            registry=registry,
        )
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Latency with only few buckets by handler. Made to be only used if aggregation by handler is important. ",
            ("handler", "method"),
            buckets=(0.1, 0.5, 1),
            registry=registry,
        )

    def answered(self, method: str, handler: str, status: int, received: int, sent: int, seconds: float) -> None:
        """Count one answered request; sizes are in bytes as the Content-Length headers say, 0 without one."""
        self._requests.labels(method, f"{status // 100}xx", handler).inc()
        self._request_size.labels(handler).observe(received)
        self._response_size.labels(handler).observe(sent)
        self._duration_fine.observe(seconds)
        self._duration.labels(handler, method).observe(seconds)
