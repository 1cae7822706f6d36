"""Every benchmark with its defaults, and one summary: `make bench`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from tools.benchmarks import gateway, held, planning, report, startup, wake
from tools.benchmarks.processes import need_tools

BENCHMARKS = (gateway, held, wake, startup, planning)
"""Modules with `arguments`, `measure` and `show`."""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run every benchmark; the result is JSON-ready. Raises BenchmarkError, before anything runs for a missing tool."""
    del options
    need_tools("wrk", "haproxy")
    result: dict[str, Any] = {}
    for benchmark in BENCHMARKS:
        result |= benchmark.measure(benchmark.arguments().parse_args([]))
    return result


def show(result: Mapping[str, Any]) -> str:
    """All tables."""
    return "\n".join(benchmark.show(result) for benchmark in BENCHMARKS)


if __name__ == "__main__":
    report.run(argparse.ArgumentParser(description=__doc__), measure, show)
