"""Start-up time of the command line: wall time on a warm disk, the median of some runs."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tools.benchmarks import report
from tools.benchmarks.processes import BenchmarkError, tool

COMMANDS = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "hearth --help": ("hearth", "--help"),
    "hearth plugins": ("hearth", "plugins"),
}


def wall_time(argv: Sequence[str]) -> float:
    """Seconds that a command takes. Raises BenchmarkError when it fails."""
    # Python compiles what it may not store at every start; an installed hearth never does.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)
    took = time.perf_counter() - begin
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(argv)} exited with {done.returncode}: {done.stderr.strip()[-500:]}")
    return took


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run it; the result is JSON-ready. Raises BenchmarkError."""
    result = {}
    for title, (program, *arguments_) in COMMANDS.items():
        report.note(f"startup: {title}")
        argv = [program if program == sys.executable else tool(program), *arguments_]
        wall_time(argv)
        result[title] = [wall_time(argv) for _ in range(options.runs)]
    return {
        "startup": {
            title: {"median_ms": statistics.median(times) * 1000, "max_ms": max(times) * 1000}
            for title, times in result.items()
        }
    }


def show(result: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    rows = [
        [title, f"{figures['median_ms']:.0f} ms", f"{figures['max_ms']:.0f} ms"]
        for title, figures in result["startup"].items()
    ]
    return f"\n{report.table(['start of the command line', 'median', 'max'], rows)}"


def arguments() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, help="how many of each (default 10)")
    return parser


if __name__ == "__main__":
    report.run(arguments(), measure, show)
