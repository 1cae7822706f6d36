"""The metrics of a real vLLM: every family, label, help text and bucket of the captured /metrics.

Families that have no meaning without a model (FLOPs, multi-modal and external caches, preemptions) stay at zero.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from vllm_stub.engine import Engine, Work

FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")
SLEEP_STATES = {"awake": None, "weights_offloaded": 1, "discard_all": 2}
TTFT_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
TOKEN_TIME_BUCKETS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80),
)
LATENCY_BUCKETS = (
    *(0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60),
    *(120, 240, 480, 960, 1920, 7680),
)
ITERATION_BUCKETS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
HTTP_BUCKETS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5),
    *(7.5, 10, 30, 60),
)
FROZEN_GAUGES = ("num_requests_waiting", "num_requests_running", "kv_cache_usage_perc")
"""The gauges that POST /control may hold at a value."""


def length_buckets(limit: int) -> tuple[int, ...]:
    """1, 2, 5, 10, 20, 50, ... up to a limit, as vLLM derives its token buckets from max_model_len."""
    buckets = []
    power = 1
    while power <= limit:
        buckets += [power * factor for factor in (1, 2, 5) if power * factor <= limit]
        power *= 10
    return tuple(buckets)


class Metrics:
    """What the engine and the server count; `refresh` before every exposition."""

    def __init__(self, model_name: str, max_model_len: int) -> None:
        self.registry = CollectorRegistry()
        self.frozen: dict[str, float] = {}
        GCCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        ProcessCollector(registry=self.registry)
        self._labels = {"model_name": model_name, "engine": "0"}
        lengths = length_buckets(max_model_len)
        self._counter(
            "estimated_flops_per_gpu",
            "Estimated number of floating point operations per GPU (for Model Flops Utilization calculations).",
        )
        self._counter(
            "estimated_read_bytes_per_gpu",
            "Estimated number of bytes read from memory per GPU (for Model Flops Utilization calculations).",
        )
        self._counter(
            "estimated_write_bytes_per_gpu",
            "Estimated number of bytes written to memory per GPU (for Model Flops Utilization calculations).",
        )
        self._running = self._gauge("num_requests_running", "Number of requests in model execution batches.")
        self._waiting = self._gauge("num_requests_waiting", "Number of requests waiting to be processed.")
        self._waiting_reason = self._gauges(
            "num_requests_waiting_by_reason",
            "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; "
            "'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). "
            "Sum of all reasons equals vllm:num_requests_waiting.",
            "reason",
            ("capacity", "deferred"),
        )
        self._sleep = self._gauges(
            "engine_sleep_state",
            "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; "
            "weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.",
            "sleep_state",
            tuple(SLEEP_STATES),
        )
        self._cache_usage = self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.")
        self._cache_queries = self._counter(
            "prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens."
        )
        self._counter("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.")
        self._counter(
            "external_prefix_cache_queries",
            "External prefix cache queries from KV connector cross-instance cache sharing, "
            "in terms of number of queried tokens.",
        )
        self._counter(
            "external_prefix_cache_hits",
            "External prefix cache hits from KV connector cross-instance cache sharing, "
            "in terms of number of cached tokens.",
        )
        self._counter("mm_cache_queries", "Multi-modal cache queries, in terms of number of queried items.")
        self._counter("mm_cache_hits", "Multi-modal cache hits, in terms of number of cached items.")
        self._counter("num_preemptions", "Cumulative number of preemption from the engine.")
        self._prompt_tokens = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        self._prompt_source = self._counters(
            "prompt_tokens_by_source",
            "Number of prompt tokens by source.",
            "source",
            ("local_compute", "local_cache_hit", "external_kv_transfer"),
        )["local_compute"]
        self._counter("prompt_tokens_cached", "Number of cached prompt tokens (local + external).")
        self._counters(
            "prompt_tokens_cached_by_source",
            "Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to "
            "DRAM), disk, p2p (transferred from another vLLM instance) or external_unspecified. Counted at admission; "
            "sums to vllm:prefix_cache_hits + vllm:external_prefix_cache_hits.",
            "source",
            ("device", "host", "p2p", "disk", "external_unspecified"),
        )
        self._generation_tokens = self._counter("generation_tokens", "Number of generation tokens processed.")
        self._success = self._counters(
            "request_success", "Count of successfully processed requests.", "finished_reason", FINISH_REASONS
        )
        self._rejections = self._rejection_counter(model_name)
        self._request_prompt = self._histogram("request_prompt_tokens", "Number of prefill tokens processed.", lengths)
        self._request_generation = self._histogram(
            "request_generation_tokens", "Number of generation tokens processed.", lengths
        )
        self._iteration = self._histogram(
            "iteration_tokens_total", "Histogram of number of tokens per engine_step.", ITERATION_BUCKETS
        )
        self._request_max_generation = self._histogram(
            "request_max_num_generation_tokens",
            "Histogram of maximum number of requested generation tokens.",
            lengths,
        )
        self._params_n = self._histogram("request_params_n", "Histogram of the n request parameter.", (1, 2, 5, 10, 20))
        self._params_max_tokens = self._histogram(
            "request_params_max_tokens", "Histogram of the max_tokens request parameter.", lengths
        )
        self._ttft = self._histogram(
            "time_to_first_token_seconds", "Histogram of time to first token in seconds.", TTFT_BUCKETS
        )
        self._inter_token = self._histogram(
            "inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", TOKEN_TIME_BUCKETS
        )
        self._per_token = self._histogram(
            "request_time_per_output_token_seconds",
            "Histogram of time_per_output_token_seconds per request.",
            TOKEN_TIME_BUCKETS,
        )
        self._e2e = self._histogram(
            "e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", LATENCY_BUCKETS
        )
        self._queue_time, self._inference_time, self._prefill_time, self._decode_time = (
            self._histogram(
                f"request_{phase.lower()}_time_seconds",
                f"Histogram of time spent in {state} phase for request.",
                LATENCY_BUCKETS,
            )
            for phase, state in (
                ("queue", "WAITING"),
                ("inference", "RUNNING"),
                ("prefill", "PREFILL"),
                ("decode", "DECODE"),
            )
        )
        self._preemptions = self._histogram(
            "request_num_preemptions",
            "Histogram of the number of times a request was preempted.",
            (1, 2, 3, 4, 5, 10, 20),
        )
        self._prefill_computed = self._histogram(
            "request_prefill_kv_computed_tokens",
            "Histogram of new KV tokens computed during prefill (excluding cached tokens).",
            lengths,
        )
        cache_config = Gauge(
            "vllm:cache_config_info",
            "Information of the LLMEngine CacheConfig",
            ("engine", "block_size", "cache_dtype", "enable_prefix_caching", "gpu_memory_utilization"),
            registry=self.registry,
        )
        cache_config.labels("0", "16", "auto", "True", "0.92").set(1)
        self._http_requests = Counter(
            "http_requests_total",
            "Total number of requests by method, status and handler.",
            ("method", "status", "handler"),
            registry=self.registry,
        )
        self._http_request_size = Summary(
            "http_request_size_bytes",
            "Content length of incoming requests by handler. Only value of header is respected. "
            "Otherwise ignored. No percentile calculated. ",
            ("handler",),
            registry=self.registry,
        )
        self._http_response_size = Summary(
            "http_response_size_bytes",
            "Content length of outgoing responses by handler. Only value of header is respected. "
            "Otherwise ignored. No percentile calculated. ",
            ("handler",),
            registry=self.registry,
        )
        self._http_duration_fine = Histogram(
            "http_request_duration_highr_seconds",
            "Latency with many buckets but no API specific labels. Made for more accurate percentile calculations. ",
            buckets=HTTP_BUCKETS,
            registry=self.registry,
        )
        self._http_duration = Histogram(
            "http_request_duration_seconds",
            "Latency with only few buckets by handler. Made to be only used if aggregation by handler is important. ",
            ("handler", "method"),
            buckets=(0.1, 0.5, 1),
            registry=self.registry,
        )

    def refresh(self, engine: "Engine") -> None:
        """Write the gauges from the engine's state, or from what /control froze."""
        waiting = self.frozen.get("num_requests_waiting", engine.waiting)
        self._waiting.set(waiting)
        self._waiting_reason["capacity"].set(waiting)
        self._running.set(self.frozen.get("num_requests_running", engine.running))
        self._cache_usage.set(self.frozen.get("kv_cache_usage_perc", engine.cache_usage))
        for state, level in SLEEP_STATES.items():
            self._sleep[state].set(engine.sleep_level == level)

    def token(self, work: "Work", now: float) -> None:
        """One engine step of a work; call it before the work's own times are updated."""
        self._generation_tokens.inc(work.width)
        if work.produced:
            self._iteration.observe(work.width)
            self._inter_token.observe(now - work.last)
            return
        prompt = work.prompt_tokens
        self._iteration.observe(prompt + work.width)
        self._ttft.observe(now - work.arrived)
        self._prompt_tokens.inc(prompt)
        self._prompt_source.inc(prompt)
        self._cache_queries.inc(prompt)
        self._prefill_computed.observe(prompt)

    def finished(self, work: "Work", reason: str) -> None:
        """A work left the engine."""
        for _ in range(work.width):
            self._success[reason].inc()
        if not work.first:
            return
        self._params_n.observe(work.width)
        self._params_max_tokens.observe(work.max_tokens)
        self._request_max_generation.observe(work.produced)
        self._request_prompt.observe(work.prompt_tokens)
        self._request_generation.observe(work.produced)
        self._preemptions.observe(0)
        self._e2e.observe(work.last - work.arrived)
        self._queue_time.observe(work.scheduled - work.arrived)
        self._inference_time.observe(work.last - work.scheduled)
        self._prefill_time.observe(work.first - work.scheduled)
        self._decode_time.observe(work.last - work.first)
        if work.produced > 1:
            self._per_token.observe((work.last - work.first) / (work.produced - 1))

    def rejected(self) -> None:
        """A request was refused because of --max-num-queued-reqs."""
        self._rejections.inc()

    def http(self, method: str, handler: str, status: int, received: int, sent: int, seconds: float) -> None:
        """One answered HTTP request; sizes in bytes as the Content-Length headers say, 0 without."""
        self._http_requests.labels(method, f"{status // 100}xx", handler).inc()
        self._http_request_size.labels(handler).observe(received)
        self._http_response_size.labels(handler).observe(sent)
        self._http_duration_fine.observe(seconds)
        self._http_duration.labels(handler, method).observe(seconds)

    def _gauge(self, name: str, text: str) -> Gauge:
        family = Gauge(f"vllm:{name}", text, tuple(self._labels), registry=self.registry)
        return family.labels(**self._labels)

    def _gauges(self, name: str, text: str, label: str, values: Sequence[str]) -> Mapping[str, Gauge]:
        family = Gauge(f"vllm:{name}", text, (*self._labels, label), registry=self.registry)
        return {value: family.labels(**self._labels, **{label: value}) for value in values}

    def _counter(self, name: str, text: str) -> Counter:
        family = Counter(f"vllm:{name}", text, tuple(self._labels), registry=self.registry)
        return family.labels(**self._labels)

    def _counters(self, name: str, text: str, label: str, values: Sequence[str]) -> Mapping[str, Counter]:
        family = Counter(f"vllm:{name}", text, (*self._labels, label), registry=self.registry)
        return {value: family.labels(**self._labels, **{label: value}) for value in values}

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        family = Histogram(f"vllm:{name}", text, tuple(self._labels), buckets=buckets, registry=self.registry)
        return family.labels(**self._labels)

    def _rejection_counter(self, model_name: str) -> Counter:
        family = Counter(
            "vllm:admission_rejections",
            "Number of admission attempts rejected by a queue limit, by reason.",
            ("model_name", "reason"),
            registry=self.registry,
        )
        family.labels(model_name, "max_num_queued_tokens")
        return family.labels(model_name, "max_num_queued_reqs")
