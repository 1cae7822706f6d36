"""Cost of a proxy: CPU time per unary request and per streamed chunk, beside HAProxy and a plain aiohttp proxy.

The figure is the CPU time of the proxy's process, user and system, because throughput on a small machine also depends
on the load generator and the backend that share its cores. The peers take turns in rounds (A B C A B C ...), a figure
is the median of its rounds and a ratio the median of the rounds' ratios, so that a slow moment of the machine hits all.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvloop

from tools.benchmarks import report
from tools.benchmarks.peers import MODEL, PEERS, Peer, haproxy_backend, hearth_of, warm
from tools.benchmarks.processes import (
    HERE,
    HOST,
    BenchmarkError,
    cpu_seconds,
    free_ports,
    need_tools,
    raise_file_limit,
    running,
    tool,
)
from tools.benchmarks.streams import Stream, open_streams, request_bytes

CONNECTIONS = 32
STREAMS = 150
CHUNK_INTERVAL = 0.01
SETTLE_SECONDS = 0.5
SCENARIOS = {"unary": "plain.lua", "headers": "headers.lua", "stream": ""}
TITLES = {
    "unary": f"unary, smallest request ({CONNECTIONS} keep-alive connections, 110-byte body, 200-byte answer)",
    "headers": "unary, the headers of openai-python with a unique X-Request-Id",
    "stream": f"stream ({STREAMS} streams, 190-byte SSE chunks {CHUNK_INTERVAL * 1000:.0f} ms apart)",
}
BEFORE = "before"
"""The gateway of another checkout."""
OTHERS = ("haproxy", "aiohttp", BEFORE)
"""Peers that the ratios are about."""
UNITS = {"unary": "us/request", "headers": "us/request", "stream": "us/chunk"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn of one peer."""

    cpu_us: float
    """CPU time of the proxy per request or per chunk, in microseconds."""
    rate: float
    """Requests or chunks per second."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running peer."""

    process: psutil.Process
    port: int


def unary(target: Target, script: str, seconds: float) -> Sample:
    """Load the peer with wrk. Raises BenchmarkError when an answer is not a 200."""
    url = f"http://{HOST}:{target.port}/v1/chat/completions"
    argv = [tool("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-s", str(HERE / script), url]
    before = cpu_seconds(target.process)
    output = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    spent = cpu_seconds(target.process) - before
    found = re.search(r"(\d+) requests in ", output)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", output)
    if not found or not rate or not int(found[1]) or "Non-2xx" in output or "Socket errors" in output:
        raise BenchmarkError(f"wrk against {url} failed: {output.strip() or 'no output'}")
    return Sample(cpu_us=spent / int(found[1]) * 1e6, rate=float(rate[1]))


async def stream(target: Target, seconds: float) -> Sample:
    """Hold the streams open and read the peer's CPU time in the middle of them."""
    tokens = round((seconds + 3 * SETTLE_SECONDS) / CHUNK_INTERVAL)
    streams = [
        Stream(request_bytes(MODEL, user=f"u{number:04}", max_tokens=tokens), keep=False) for number in range(STREAMS)
    ]
    await open_streams(target.port, streams)
    await asyncio.wait_for(asyncio.gather(*(each.first.wait() for each in streams)), 30)
    await asyncio.sleep(SETTLE_SECONDS)
    begin, before, counted = time.perf_counter(), cpu_seconds(target.process), sum(each.chunks for each in streams)
    await asyncio.sleep(seconds)
    took, after = time.perf_counter() - begin, cpu_seconds(target.process)
    chunks = sum(each.chunks for each in streams) - counted
    await asyncio.wait_for(asyncio.gather(*(each.done.wait() for each in streams)), 30 + seconds)
    for each in streams:
        each.close()
        if each.error or each.chunks < tokens:
            raise BenchmarkError(f"a stream was not complete: {each.chunks} of {tokens} chunks. {each.error}")
    return Sample(cpu_us=(after - before) / chunks * 1e6, rate=chunks / took)


def turn(scenario: str, target: Target, seconds: float) -> Sample:
    """One turn of one peer in one scenario."""
    if scenario == "stream":
        return uvloop.run(stream(target, seconds))
    return unary(target, SCENARIOS[scenario], seconds)


@contextmanager
def targets(scenario: str, peers: Mapping[str, Peer], directory: Path) -> Iterator[dict[str, Target]]:
    """All peers of a scenario, running and warm, in front of one backend."""
    backend, *ports = free_ports(1 + len(peers))
    if scenario == "stream":
        engine = [sys.executable, str(HERE / "backend.py"), "--port", str(backend), "--interval", str(CHUNK_INTERVAL)]
    else:
        engine = haproxy_backend(directory, backend)
    with ExitStack() as stack:
        stack.enter_context(running(engine, port=backend))
        yield {
            name: Target(stack.enter_context(warm(name, peer, directory, port, backend)), port)
            for (name, peer), port in zip(peers.items(), ports, strict=True)
        }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run every scenario; the result is JSON-ready. Raises BenchmarkError."""
    need_tools("wrk", "haproxy")
    raise_file_limit(4096)
    peers = {name: PEERS[name] for name in options.peers}
    if options.against is not None:
        peers[BEFORE] = hearth_of(options.against)
    names = list(peers)
    scenarios: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as directory:
        for scenario in options.scenarios:
            samples: dict[str, list[Sample]] = {name: [] for name in names}
            with targets(scenario, peers, Path(directory)) as running_peers:
                for name in names:
                    turn(scenario, running_peers[name], 1.0)
                for number in range(options.rounds):
                    report.note(f"{scenario}: round {number + 1} of {options.rounds}")
                    for name in names:
                        samples[name].append(turn(scenario, running_peers[name], options.seconds))
            scenarios[scenario] = {name: _summary(samples, name) for name in names}
    return {"gateway": scenarios}


def _summary(samples: Mapping[str, Sequence[Sample]], name: str) -> dict[str, Any]:
    mine = samples[name]
    ratios = {
        f"ratio_to_{other}": statistics.median(a.cpu_us / b.cpu_us for a, b in zip(mine, samples[other], strict=True))
        for other in OTHERS
        if other in samples
    }
    return {
        "cpu_us": statistics.median(each.cpu_us for each in mine),
        "rate": statistics.median(each.rate for each in mine),
        **ratios,
        "rounds": [asdict(each) for each in mine],
    }


def show(result: Mapping[str, Any]) -> str:
    """One table per scenario."""
    parts = []
    for scenario, peers in result["gateway"].items():
        unit = UNITS[scenario]
        others = [other for other in OTHERS if other in peers]
        rows = [
            [
                name,
                f"{figures['cpu_us']:.1f}",
                f"{min(each['cpu_us'] for each in figures['rounds']):.1f} to "
                f"{max(each['cpu_us'] for each in figures['rounds']):.1f}",
                f"{figures['rate']:,.0f}",
                *(f"{figures[key]:.2f}x" if (key := f"ratio_to_{other}") in figures else "-" for other in others),
            ]
            for name, figures in peers.items()
        ]
        per_second = unit.removeprefix("us/") + "s/s"
        headers = ["proxy", f"CPU {unit}", "rounds", per_second, *(f"CPU to {other}" for other in others)]
        parts.append(f"\n{TITLES[scenario]}\n{report.table(headers, rows)}")
    return "\n".join(parts)


def arguments() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="turns of each proxy (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn (default 4)")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS), help="which proxies")
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="another checkout, whose gateway is measured as well"
    )
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS), help="which loads")
    return parser


if __name__ == "__main__":
    report.run(arguments(), measure, show)
