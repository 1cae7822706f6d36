"""Wake time: from the moment a backend listens to the first data byte at a held client.

The backend's port refuses connections, as vLLM's does while it loads, then listens at a moment unrelated to the
gateway's probes. The backend is part of this program, so that the moment is exact.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import uvloop

from tools.benchmarks import report
from tools.benchmarks.backend import Backend, serve
from tools.benchmarks.peers import MODEL, gateway_argv, service, write_services
from tools.benchmarks.processes import BenchmarkError, free_ports, running
from tools.benchmarks.streams import Stream, open_streams, request_bytes

TOKENS = 3
ANSWER_SECONDS = 20.0
LONGEST_WAIT = 0.4
"""The backend listens this many seconds after the request was held, or less; a probe is due every 0.1 s."""


class Engine(Backend):
    """A backend whose connections can be cut, as they are when an engine's process ends."""

    alive: set[asyncio.Transport]

    def __init__(self, alive: set[asyncio.Transport]) -> None:
        super().__init__()
        self.alive = alive

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        super().connection_made(transport)
        self.alive.add(cast("asyncio.Transport", transport))


async def wake(port: int, backend: int, number: int) -> float:
    """One wake: seconds from listening to the first data byte. Raises BenchmarkError on a wrong answer."""
    user = f"u{number:04}"
    stream = Stream(request_bytes(MODEL, user=user, max_tokens=TOKENS))
    await open_streams(port, [stream])
    await _within(stream.head, stream)
    await asyncio.sleep(random.uniform(0.05, LONGEST_WAIT))
    alive: set[asyncio.Transport] = set()
    server = await serve(backend, lambda: Engine(alive))
    listened = time.perf_counter()
    try:
        await _within(stream.done, stream)
    finally:
        server.close()
        for transport in alive:
            transport.abort()
        await server.wait_closed()
        stream.close()
    if fault := stream.fault(user=user, max_tokens=TOKENS):
        raise BenchmarkError(f"wake {number}: {fault}")
    if stream.data_at < listened:
        raise BenchmarkError(f"wake {number}: data came before the backend listened")
    return stream.data_at - listened


async def _within(event: asyncio.Event, stream: Stream) -> None:
    try:
        await asyncio.wait_for(event.wait(), ANSWER_SECONDS)
    except TimeoutError:
        raise BenchmarkError(f"a held client heard nothing for {ANSWER_SECONDS:.0f} s") from None
    if stream.error:
        raise BenchmarkError(f"a held client got: {stream.error}")


async def wakes(port: int, backend: int, count: int) -> list[float]:
    """Wake that many times, one after the other."""
    return [await wake(port, backend, number) for number in range(count)]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run it; the result is JSON-ready. Raises BenchmarkError."""
    port, backend = free_ports(2)
    report.note(f"wake: {options.wakes} times")
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as directory:
        config = write_services(Path(directory) / "services.yaml", [service(backend)])
        with running(gateway_argv(config, port), port=port):
            seconds = uvloop.run(wakes(port, backend, options.wakes))
    return {
        "wake": {
            "wakes": len(seconds),
            "p50_ms": statistics.median(seconds) * 1000,
            "p99_ms": report.quantile(seconds, 0.99) * 1000,
            "max_ms": max(seconds) * 1000,
            "min_ms": min(seconds) * 1000,
        }
    }


def show(result: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    figures = result["wake"]
    row = [f"{figures['wakes']} wakes", *(f"{figures[f'{name}_ms']:.1f} ms" for name in ("min", "p50", "p99", "max"))]
    return f"\n{report.table(['backend listens -> first data byte', 'min', 'p50', 'p99', 'max'], [row])}"


def arguments() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wakes", type=int, default=100, help="how many (default 100)")
    return parser


if __name__ == "__main__":
    report.run(arguments(), measure, show)
