"""Time to plan a thousand services: the operator does it after a start, one service after the other."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hearth.api import InferenceRuntime, LLMService
from hearth.planning import available_runtimes, make_plan
from hearth.plugins import VendorHost
from tools.benchmarks import report
from tools.benchmarks.processes import BenchmarkError

LIMIT = 5.0
"""Seconds for a thousand services on two cores."""


def services(count: int, runtimes: Sequence[InferenceRuntime]) -> list[LLMService]:
    """Services that take turns among the runtimes, with what most users set."""
    return [
        LLMService.model_validate(
            {
                "metadata": {"name": f"model-{number}", "namespace": f"team-{number % 10}"},
                "spec": {
                    "model": {"source": {"uri": f"hf://acme/model-{number}"}},
                    "runtime": {"name": runtime.metadata.name, "argsOverride": ["--max-model-len=8192"]},
                    "resources": {"accelerators": 1 + number % 2, "cpu": "4", "memory": "64Gi"},
                    "scaling": {"min": 0, "max": 4, "target": 10},
                },
            }
        )
        for number, runtime in zip(range(count), itertools.cycle(runtimes))
    ]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run it; the result is JSON-ready. Raises BenchmarkError when a plugin is not usable."""
    host = VendorHost.load()
    result: dict[str, Any] = {}
    for vendor in [status for status in host.vendors if status.state == "ready"]:
        report.note(f"planning: {vendor.name}")
        runtimes = available_runtimes((), host)
        wanted = services(options.services, [item for item in runtimes if item.spec.vendor == vendor.name])
        make_plan(wanted[0], runtimes=runtimes, host=host, target="cluster")
        begin = time.perf_counter()
        for service in wanted:
            make_plan(service, runtimes=runtimes, host=host, target="cluster")
        result[vendor.name] = {"services": len(wanted), "seconds": time.perf_counter() - begin}
    if not result:
        raise BenchmarkError("no vendor plugin is usable; see `hearth plugins`")
    return {"planning": result}


def show(result: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    rows = [
        [
            vendor,
            str(figures["services"]),
            f"{figures['seconds']:.2f} s",
            f"{figures['seconds'] / figures['services'] * 1000:.2f} ms",
        ]
        for vendor, figures in result["planning"].items()
    ]
    title = f"planning (limit for 1000: {LIMIT:g} s)"
    return f"\n{report.table([title, 'services', 'all', 'each'], rows)}"


def arguments() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--services", type=int, default=1000, help="how many (default 1000)")
    return parser


if __name__ == "__main__":
    report.run(arguments(), measure, show)
