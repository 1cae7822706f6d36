"""Many cold streams held at once: memory of each, CPU of a core while they wait, and that all are answered after the wake."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import uvloop

from tools.benchmarks import report
from tools.benchmarks.peers import MODEL, gateway_argv, service, write_services
from tools.benchmarks.processes import (
    HERE,
    BenchmarkError,
    cpu_seconds,
    free_ports,
    raise_file_limit,
    resident_bytes,
    running,
)
from tools.benchmarks.streams import Stream, open_streams, request_bytes

TOKENS = 5
HEAD_SECONDS = 60.0
ANSWER_SECONDS = 120.0
SETTLE_SECONDS = 1.0
FILES_OF_ITS_OWN = 256


async def hold(gateway: psutil.Process, port: int, backend: int, options: argparse.Namespace) -> dict[str, Any]:
    """Open the streams, let them wait, start the backend, check every answer. Raises BenchmarkError."""
    prompt = "x" * options.prompt_bytes
    users = [f"u{number:06}" for number in range(options.streams)]
    streams = [Stream(request_bytes(MODEL, user=user, max_tokens=TOKENS, prompt=prompt)) for user in users]
    empty = resident_bytes(gateway)
    await open_streams(port, streams)
    await _all(streams, "head", HEAD_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)
    held, before, begin = resident_bytes(gateway), cpu_seconds(gateway), time.perf_counter()
    await asyncio.sleep(options.seconds)
    after, waited = cpu_seconds(gateway), time.perf_counter() - begin
    held_after = resident_bytes(gateway)
    engine = [sys.executable, str(HERE / "backend.py"), "--port", str(backend)]
    with running(engine, port=backend):
        listened = time.perf_counter()
        await _all(streams, "done", ANSWER_SECONDS)
        answered = time.perf_counter() - listened
    faults = Counter(
        fault
        for user, each in zip(users, streams, strict=True)
        if (fault := each.fault(user=user, max_tokens=TOKENS).replace(user, "USER"))
    )
    for each in streams:
        each.close()
    if faults:
        text = "; ".join(f"{count} times: {fault}" for fault, count in faults.most_common(3))
        raise BenchmarkError(f"{faults.total()} of {options.streams} held streams were not answered correctly: {text}")
    first = [each.data_at - listened for each in streams]
    return {
        "streams": options.streams,
        "request_bytes": len(streams[0].request),
        "rss_empty_mib": empty / 2**20,
        "rss_held_mib": held / 2**20,
        "kib_per_stream": (held - empty) / options.streams / 1024,
        "kib_per_stream_after_hold": (held_after - empty) / options.streams / 1024,
        "hold_seconds": waited,
        "core_while_holding": (after - before) / waited,
        "heartbeats": sum(each.heartbeats for each in streams),
        "answered_correctly": options.streams,
        "seconds_to_first_answer": min(first),
        "seconds_to_all_answers": answered,
        "cpu_seconds_to_answer_all": cpu_seconds(gateway) - after,
    }


async def _all(streams: list[Stream], event: str, seconds: float) -> None:
    try:
        await asyncio.wait_for(asyncio.gather(*(getattr(each, event).wait() for each in streams)), seconds)
    except TimeoutError:
        missing = [each for each in streams if not getattr(each, event).is_set()]
        raise BenchmarkError(
            f"{len(missing)} of {len(streams)} streams have no {event} after {seconds:.0f} s"
        ) from None
    broken = Counter(each.error for each in streams if each.error)
    if broken:
        raise BenchmarkError(f"{broken.total()} of {len(streams)} streams failed: {broken.most_common(1)[0][0]}")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run it; the result is JSON-ready. Raises BenchmarkError."""
    raise_file_limit(2 * options.streams + FILES_OF_ITS_OWN)
    port, backend = free_ports(2)
    limits = {"maxHeld": options.streams, "maxHeldBytes": 2**30, "maxInFlight": options.streams}
    report.note(f"held: {options.streams} streams for {options.seconds:g} s")
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as directory:
        config = write_services(Path(directory) / "services.yaml", [service(backend, limits=limits)])
        with running(gateway_argv(config, port), port=port) as gateway:
            return {"held": uvloop.run(hold(gateway, port, backend, options))}


def show(result: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    held = result["held"]
    rows = [
        ["memory per held stream", f"{held['kib_per_stream']:.1f} KiB"],
        ["  after the hold", f"{held['kib_per_stream_after_hold']:.1f} KiB"],
        ["gateway's memory, empty", f"{held['rss_empty_mib']:.1f} MiB"],
        ["  with all held", f"{held['rss_held_mib']:.1f} MiB"],
        [f"CPU of a core while holding {held['hold_seconds']:.0f} s", f"{held['core_while_holding']:.1%}"],
        ["heartbeats received", f"{held['heartbeats']:,}"],
        ["answered correctly", f"{held['answered_correctly']:,} of {held['streams']:,}"],
        ["backend listens -> first answer", f"{held['seconds_to_first_answer'] * 1000:.0f} ms"],
        ["backend listens -> all answered", f"{held['seconds_to_all_answers']:.2f} s"],
        ["gateway's CPU to answer all", f"{held['cpu_seconds_to_answer_all']:.2f} s"],
    ]
    title = f"{held['streams']:,} held cold streams, requests of {held['request_bytes']} bytes"
    return f"\n{report.table([title, ''], rows)}"


def arguments() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=2000, help="how many (default 2000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long they wait (default 10)")
    parser.add_argument("--prompt-bytes", type=int, default=20, help="length of each prompt (default 20)")
    return parser


if __name__ == "__main__":
    report.run(arguments(), measure, show)
