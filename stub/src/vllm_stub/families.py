"""Families of the engine's metrics: every name, label, help text and bucket of a real vLLM's /metrics, in its order.

Families that have no meaning without a model (FLOPs, multi-modal and external caches, preemptions) stay at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
LENGTHS = ()
"""In place of buckets that depend on the model's context; `length_buckets` has them."""


@dataclass(frozen=True, slots=True)
class Family:
    """One family, without the prefix `vllm:`.

    Its labels are `model_name`, `engine` unless `of_engine` is false, and `label` if there is one, whose `values` all have a
    sample from the start.
    """

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    text: str
    label: str = ""
    values: Sequence[str] = ("",)
    buckets: Sequence[float] = LENGTHS
    of_engine: bool = True


FAMILIES = (
    Family(
        "counter",
        "estimated_flops_per_gpu",
        "Estimated number of floating point operations per GPU (for Model Flops Utilization calculations).",
    ),
    Family(
        "counter",
        "estimated_read_bytes_per_gpu",
        "Estimated number of bytes read from memory per GPU (for Model Flops Utilization calculations).",
    ),
    Family(
        "counter",
        "estimated_write_bytes_per_gpu",
        "Estimated number of bytes written to memory per GPU (for Model Flops Utilization calculations).",
    ),
    Family("gauge", "num_requests_running", "Number of requests in model execution batches."),
    Family("gauge", "num_requests_waiting", "Number of requests waiting to be processed."),
    Family(
        "gauge",
        "num_requests_waiting_by_reason",
        (
            "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; "
            "'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). "
            "Sum of all reasons equals vllm:num_requests_waiting."
        ),
        label="reason",
        values=("capacity", "deferred"),
    ),
    Family(
        "gauge",
        "engine_sleep_state",
        (
            "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; "
            "weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2."
        ),
        label="sleep_state",
        values=tuple(SLEEP_STATES),
    ),
    Family("gauge", "kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage."),
    Family("counter", "prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens."),
    Family("counter", "prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens."),
    Family(
        "counter",
        "external_prefix_cache_queries",
        (
            "External prefix cache queries from KV connector cross-instance cache sharing, "
            "in terms of number of queried tokens."
        ),
    ),
    Family(
        "counter",
        "external_prefix_cache_hits",
        (
            "External prefix cache hits from KV connector cross-instance cache sharing, "
            "in terms of number of cached tokens."
        ),
    ),
    Family("counter", "mm_cache_queries", "Multi-modal cache queries, in terms of number of queried items."),
    Family("counter", "mm_cache_hits", "Multi-modal cache hits, in terms of number of cached items."),
    Family("counter", "num_preemptions", "Cumulative number of preemption from the engine."),
    Family("counter", "prompt_tokens", "Number of prefill tokens processed."),
    Family(
        "counter",
        "prompt_tokens_by_source",
        "Number of prompt tokens by source.",
        label="source",
        values=("local_compute", "local_cache_hit", "external_kv_transfer"),
    ),
    Family("counter", "prompt_tokens_cached", "Number of cached prompt tokens (local + external)."),
    Family(
        "counter",
        "prompt_tokens_cached_by_source",
        (
            "Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to "
            "DRAM), disk, p2p (transferred from another vLLM instance) or external_unspecified. Counted at admission; "
            "sums to vllm:prefix_cache_hits + vllm:external_prefix_cache_hits."
        ),
        label="source",
        values=("device", "host", "p2p", "disk", "external_unspecified"),
    ),
    Family("counter", "generation_tokens", "Number of generation tokens processed."),
    Family(
        "counter",
        "request_success",
        "Count of successfully processed requests.",
        label="finished_reason",
        values=FINISH_REASONS,
    ),
    Family(
        "counter",
        "admission_rejections",
        "Number of admission attempts rejected by a queue limit, by reason.",
        label="reason",
        values=("max_num_queued_tokens", "max_num_queued_reqs"),
        of_engine=False,
    ),
    Family("histogram", "request_prompt_tokens", "Number of prefill tokens processed."),
    Family("histogram", "request_generation_tokens", "Number of generation tokens processed."),
    Family(
        "histogram",
        "iteration_tokens_total",
        "Histogram of number of tokens per engine_step.",
        buckets=ITERATION_BUCKETS,
    ),
    Family(
        "histogram", "request_max_num_generation_tokens", "Histogram of maximum number of requested generation tokens."
    ),
    Family("histogram", "request_params_n", "Histogram of the n request parameter.", buckets=(1, 2, 5, 10, 20)),
    Family("histogram", "request_params_max_tokens", "Histogram of the max_tokens request parameter."),
    Family(
        "histogram", "time_to_first_token_seconds", "Histogram of time to first token in seconds.", buckets=TTFT_BUCKETS
    ),
    Family(
        "histogram",
        "inter_token_latency_seconds",
        "Histogram of inter-token latency in seconds.",
        buckets=TOKEN_TIME_BUCKETS,
    ),
    Family(
        "histogram",
        "request_time_per_output_token_seconds",
        "Histogram of time_per_output_token_seconds per request.",
        buckets=TOKEN_TIME_BUCKETS,
    ),
    Family(
        "histogram",
        "e2e_request_latency_seconds",
        "Histogram of e2e request latency in seconds.",
        buckets=LATENCY_BUCKETS,
    ),
    Family(
        "histogram",
        "request_queue_time_seconds",
        "Histogram of time spent in WAITING phase for request.",
        buckets=LATENCY_BUCKETS,
    ),
    Family(
        "histogram",
        "request_inference_time_seconds",
        "Histogram of time spent in RUNNING phase for request.",
        buckets=LATENCY_BUCKETS,
    ),
    Family(
        "histogram",
        "request_prefill_time_seconds",
        "Histogram of time spent in PREFILL phase for request.",
        buckets=LATENCY_BUCKETS,
    ),
    Family(
        "histogram",
        "request_decode_time_seconds",
        "Histogram of time spent in DECODE phase for request.",
        buckets=LATENCY_BUCKETS,
    ),
    Family(
        "histogram",
        "request_num_preemptions",
        "Histogram of the number of times a request was preempted.",
        buckets=(1, 2, 3, 4, 5, 10, 20),
    ),
    Family(
        "histogram",
        "request_prefill_kv_computed_tokens",
        "Histogram of new KV tokens computed during prefill (excluding cached tokens).",
    ),
)


def length_buckets(limit: int) -> tuple[int, ...]:
    """Return 1, 2, 5, 10, 20, 50, ... up to a limit, as vLLM derives its token buckets from max_model_len."""
    buckets = []
    power = 1
    while power <= limit:
        buckets += [power * factor for factor in (1, 2, 5) if power * factor <= limit]
        power *= 10
    return tuple(buckets)
