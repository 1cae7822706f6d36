"""The exposition against the captured one, and the numbers against real requests."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from typing import Any

import aiohttp

from tests.stub.support import CAPTURE, CHAT, Stub

CAPTURED = (CAPTURE / "vllm-0.32.0-cpu-apikey.metrics.txt").read_text()
SUBSET = "vllm:cache_config_info"
"""The one family with fewer labels than the real one, which shows its whole cache configuration there."""
SAMPLE = re.compile(r"([a-z][\w:]*)(?:\{(.*)\})? \S+")


def families(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


def labels(text: str) -> dict[str, set[tuple[str, ...]]]:
    found = defaultdict(set)
    for name, inner in SAMPLE.findall(text):
        found[name].add(tuple(re.findall(r'(\w+)="', inner)))
    return found


def buckets(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, bound in re.findall(r'(\S+)_bucket\{.*?le="([^"]+)"', text):
        if bound not in found.setdefault(name, []):
            found[name].append(bound)
    return found


def value(text: str, name: str, **wanted: str) -> float:
    for line in text.splitlines():
        if line.startswith(name + "{") and all(f'{key}="{item}"' in line for key, item in wanted.items()):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"no sample {name} {wanted}")


async def scrape(http: aiohttp.ClientSession, stub: Stub) -> str:
    async with http.get(stub.url + "/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return await response.text()


async def test_families_labels_and_buckets_are_the_captured_ones(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start()
    async with http.post(stub.url + "/v1/chat/completions", json=CHAT) as response:
        await response.read()
    text = await scrape(http, stub)
    assert families(text) == families(CAPTURED)
    assert buckets(text) == buckets(CAPTURED)
    mine, real = labels(text), labels(CAPTURED)
    assert mine.keys() == real.keys()
    assert {name for name in real if mine[name] != real[name]} == {SUBSET}


async def test_waiting_and_running_are_the_state_in_flight(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start("--max-num-seqs", "2", env={"STUB_TOKEN_DELAY": "1m"})
    body = {**CHAT, "stream": True}
    requests = [await http.post(f"{stub.url}/v1/chat/completions?tokens=2", json=body) for _ in range(5)]
    text = await scrape(http, stub)
    assert value(text, "vllm:num_requests_running") == 2
    assert value(text, "vllm:num_requests_waiting") == 3
    assert value(text, "vllm:num_requests_waiting_by_reason", reason="capacity") == 3
    assert 0 < value(text, "vllm:kv_cache_usage_perc") < 1
    # headers are out although the engine gave nothing to the third
    assert requests[2].status == 200
    for request in requests:
        request.close()
    while value(text := await scrape(http, stub), "vllm:num_requests_running"):
        await asyncio.sleep(0.01)
    assert value(text, "vllm:num_requests_waiting") == 0
    assert value(text, "vllm:request_success_total", finished_reason="abort") == 5


async def test_counters_and_histograms(start: Any, http: aiohttp.ClientSession) -> None:
    stub = start(env={"STUB_PREFILL_DELAY": "30ms", "STUB_TOKEN_DELAY": "15ms"})
    async with http.post(f"{stub.url}/v1/chat/completions?tokens=3", json={**CHAT, "n": 2}) as response:
        usage = (await response.json())["usage"]
    text = await scrape(http, stub)
    assert value(text, "vllm:prompt_tokens_total") == usage["prompt_tokens"]
    assert value(text, "vllm:generation_tokens_total") == usage["completion_tokens"] == 6
    assert value(text, "vllm:request_success_total", finished_reason="stop") == 2
    assert value(text, "vllm:time_to_first_token_seconds_sum") >= 0.03
    assert value(text, "vllm:inter_token_latency_seconds_count") == 2
    assert value(text, "vllm:inter_token_latency_seconds_sum") >= 0.025
    assert value(text, "vllm:e2e_request_latency_seconds_sum") >= 0.055
    assert value(text, "vllm:request_params_n_sum") == 2
    assert value(text, "http_requests_total", handler="/v1/chat/completions", status="2xx") == 1


async def test_openmetrics_by_accept(shared: Stub, http: aiohttp.ClientSession) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with http.get(shared.url + "/metrics", headers=accept) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await response.text()).endswith("# EOF\n")
