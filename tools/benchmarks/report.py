"""Report of a benchmark: a table for people, JSON for programs, and the machine it ran on."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.benchmarks.processes import BenchmarkError


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text: the first to the left, figures to the right."""
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]
    lines = []
    for row in (headers, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def quantile(values: Sequence[float], fraction: float) -> float:
    """Return the value that `fraction` of all are at most; of 100 values the 0.99 quantile is the second largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(fraction * len(ordered)) - 1))]


def machine() -> dict[str, Any]:
    """Where the figures come from, with the load of others at this moment."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def describe(facts: Mapping[str, Any]) -> str:
    """`machine()` as a line."""
    return (
        f"{facts['cores']} cores, {facts['cpu']}, Linux {facts['kernel']}, Python {facts['python']}, "
        f"load average {facts['load_average']:.2f} at the start"
    )


def run(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    show: Callable[[Mapping[str, Any]], str],
) -> None:
    """Measure, and print a table or (`--json`) JSON; exit 1 on BenchmarkError."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    facts = machine()
    try:
        result = measure(options)
    except BenchmarkError as error:
        sys.exit(f"error: {error}")
    if options.json:
        print(json.dumps({"machine": facts, **result}, indent=2))
    else:
        print(describe(facts))
        print(show(result))


def note(text: str) -> None:
    """Say on standard error what is being done."""
    print(f"  {text}", file=sys.stderr, flush=True)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
