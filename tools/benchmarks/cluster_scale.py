"""A thousand sleeping models on one node: how soon they are there, what the operator costs, how soon an edit arrives.

The services have `min: 0` and no client requests them, so that no backend may ever start. `ready` is what
`kubectl wait --for=condition=Ready` waits for. KEDA's part, accepting a ScaledObject and making its HPA, is timed apart.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any

from tools.benchmarks import report
from tools.benchmarks.cluster import Kube, Object, Operator, condition, keda_as_shipped, manifests, namespaces, opened
from tools.benchmarks.processes import BenchmarkError

RUNTIME = "bench-scale"
LABEL = f"serving.hearth.dev/runtime={RUNTIME}"
SERVICE_LABEL = "serving.hearth.dev/llmservice"
AT_ONCE = 16
LIMIT_SECONDS = 900.0


class Goal:
    """A condition that `wanted` objects are to meet; remembers when so many did."""

    def __init__(self, wanted: int, meets: Callable[[Object], bool]) -> None:
        self.wanted, self.meets = wanted, meets
        self.found: set[tuple[str, str]] = set()
        self.complete = asyncio.Event()
        self.at = 0.0

    def see(self, key: tuple[str, str], item: Object | None) -> None:
        """Return an object as it is now; None: it is gone."""
        (self.found.add if item is not None and self.meets(item) else self.found.discard)(key)
        if len(self.found) >= self.wanted and not self.complete.is_set():
            self.at = time.perf_counter()
            self.complete.set()


class Census:
    """Follows the objects of one kind by one watch: what is measured should not be for the measuring."""

    def __init__(self, kube: Kube, kind: str, *goals: Goal, labels: str = LABEL) -> None:
        self.kube, self.kind, self.goals, self.labels = kube, kind, goals, labels
        self.seen = asyncio.Condition()
        self.last: dict[tuple[str, str], Object] = {}

    async def count(self) -> None:
        """Watch until cancelled, and note when each goal is reached."""
        async with aclosing(self.kube.watch(self.kind, labels=self.labels)) as events:
            async for change, item in events:
                if change == "LISTED":
                    continue
                key = item["metadata"]["namespace"], item["metadata"]["name"]
                gone = change == "DELETED"
                for goal in self.goals:
                    goal.see(key, None if gone else item)
                if not gone:
                    async with self.seen:
                        self.last[key] = item
                        self.seen.notify_all()

    async def until(self, key: tuple[str, str], meets: Callable[[Object], bool], seconds: float = 60) -> float:
        """Wait until an object meets a condition; return when it did."""
        try:
            async with asyncio.timeout(seconds), self.seen:
                await self.seen.wait_for(lambda: key in self.last and meets(self.last[key]))
                return time.perf_counter()
        except TimeoutError:
            raise BenchmarkError(f"{self.kind} {key[0]}/{key[1]} is not as wanted within {seconds:g} s") from None


def is_ready(item: Object) -> bool:
    """Ready, as of this generation of the object."""
    ready = condition(item, "Ready")
    return ready.get("status") == "True" and ready.get("observedGeneration") == item["metadata"]["generation"]


def is_told(item: Object) -> bool:
    """Return whether the operator has written a status, whatever it says, of this generation of the object."""
    return bool(condition(item, "Ready").get("observedGeneration") == item["metadata"]["generation"])


def is_accepted(item: Object) -> bool:
    """KEDA has taken a ScaledObject and made its HPA."""
    return condition(item, "Ready").get("status") == "True"


async def scale(options: argparse.Namespace) -> dict[str, Any]:
    """Run it. Raises BenchmarkError."""
    names = [f"bench-scale-{number}" for number in range(options.namespaces)]
    services = [(names[number % len(names)], f"model-{number:04}") for number in range(options.services)]
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(opened())
        operator = await stack.enter_async_context(Operator.found(kube, options.operator))
        await stack.enter_async_context(keda_as_shipped(kube))
        report.note(f"scale: {options.namespaces} namespaces")
        await stack.enter_async_context(namespaces(kube, names, manifests.runtime(RUNTIME)))
        empty = await operator.resident()
        count = options.services
        rendered, accepted = Goal(count, lambda _: True), Goal(count, is_accepted)
        ready, told = Goal(count, is_ready), Goal(count, is_told)
        pods = Goal(1, lambda _: True)
        scaled = Census(kube, "ScaledObject", rendered, accepted)
        served = Census(kube, "LLMService", ready, told, labels="bench=scale")
        started = Census(kube, "Pod", pods, labels=f"{SERVICE_LABEL},{LABEL}")
        tasks = [asyncio.create_task(each.count()) for each in (scaled, served, started)]
        stop = asyncio.Event()
        largest = asyncio.create_task(operator.largest(stop))
        stack.callback(lambda: [task.cancel() for task in (*tasks, largest)])

        report.note(f"scale: {count} services")
        begin = time.perf_counter()
        cpu = await operator.cpu()
        await create(kube, services)
        created = time.perf_counter()
        for goal, what in ((rendered, "ScaledObjects"), (told, "statuses")):
            await _complete(goal, what, tasks)
            report.note(f"scale: {what} after {goal.at - begin:.1f} s")
        busy = await operator.cpu() - cpu
        for goal, what in ((accepted, "taken by KEDA"), (ready, "services Ready")):
            await _complete(goal, what, tasks)
            report.note(f"scale: {what} after {goal.at - begin:.1f} s")
        report.note(f"scale: idle for {options.idle} s")
        await asyncio.sleep(options.settle)
        cpu, since = await operator.cpu(), time.perf_counter()
        await asyncio.sleep(options.idle)
        idle = (await operator.cpu() - cpu) / (time.perf_counter() - since)
        report.note(f"scale: {options.edits} edits")
        edits = [
            await edit(kube, services[(number * 37) % count], 11 + number, scaled, served)
            for number in range(options.edits)
        ]
        stop.set()
        peak = await largest
        if pods.found:
            raise BenchmarkError(f"{len(pods.found)} pods of sleeping services were started: {sorted(pods.found)[:3]}")
        resident = await operator.resident()
        report.note("scale: cleaning up")
    objects, statuses = ([pair[index] for pair in edits] for index in (0, 1))
    return {
        "scale": {
            "services": count,
            "namespaces": options.namespaces,
            "created_s": created - begin,
            "rendered_s": rendered.at - begin,
            "told_s": told.at - begin,
            "ready_s": ready.at - begin,
            "keda_s": accepted.at - begin,
            "operator_cpu_s": busy,
            "rss_empty_mib": empty / 2**20,
            "rss_mib": resident / 2**20,
            "rss_peak_mib": peak / 2**20,
            "idle_cpu_percent": idle * 100,
            "edits": len(edits),
            "edit_p50_ms": statistics.median(objects) * 1000,
            "edit_p99_ms": report.quantile(objects, 0.99) * 1000,
            "edit_max_ms": max(objects) * 1000,
            "edit_status_p50_ms": statistics.median(statuses) * 1000,
            "edit_status_p99_ms": report.quantile(statuses, 0.99) * 1000,
        }
    }


async def _complete(goal: Goal, what: str, tasks: list[asyncio.Task[None]]) -> None:
    waiting = asyncio.create_task(goal.complete.wait())
    done, _ = await asyncio.wait({waiting, *tasks}, timeout=LIMIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if waiting in done:
        return
    waiting.cancel()
    for task in done:
        task.result()  # a watch that failed says why
    raise BenchmarkError(f"{what}: {len(goal.found)} of {goal.wanted} after {LIMIT_SECONDS:.0f} s")


async def create(kube: Kube, services: list[tuple[str, str]]) -> None:
    """Create the services as a client would that does not wait for anything."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(namespace: str, name: str) -> None:
        wanted = manifests.service(name, namespace, RUNTIME, scaling={"max": 2})
        wanted["metadata"]["labels"] = {"bench": "scale"}
        async with gate:
            await kube.create(wanted)

    await asyncio.gather(*(one(*each) for each in services))


async def edit(kube: Kube, key: tuple[str, str], target: int, scaled: Census, services: Census) -> tuple[float, float]:
    """Change a service's target: seconds until its ScaledObject has it, and until the status is of that generation."""

    def arrived(item: Object) -> bool:
        return bool(item["spec"]["triggers"][0]["metadata"]["targetValue"] == str(target))

    begin = time.perf_counter()
    changed = await kube.patch("LLMService", key[1], key[0], {"spec": {"scaling": {"target": target}}})
    generation = changed["metadata"]["generation"]
    rendered = await scaled.until(key, arrived)
    told = await services.until(key, lambda item: item["metadata"]["generation"] == generation and is_ready(item))
    return rendered - begin, told - begin


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run it; the result is JSON-ready. Raises BenchmarkError."""
    return asyncio.run(scale(options))


def show(result: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    each = result["scale"]
    rows = [
        ["services created by the client", f"{each['created_s']:.1f} s"],
        ["all objects of all of them applied", f"{each['rendered_s']:.1f} s"],
        ["all have a status", f"{each['told_s']:.1f} s"],
        ["operator: CPU until then", f"{each['operator_cpu_s']:.1f} s"],
        ["all taken by KEDA", f"{each['keda_s']:.1f} s"],
        ["all Ready", f"{each['ready_s']:.1f} s"],
        ["operator: RSS before, now, largest", "{rss_empty_mib:.0f}, {rss_mib:.0f}, {rss_peak_mib:.0f} MiB".format(**each)],
        ["operator: CPU while idle", f"{each['idle_cpu_percent']:.2f} %"],
        [f"{each['edits']} edits -> ScaledObject, p50 p99 max",
         "{edit_p50_ms:.0f}, {edit_p99_ms:.0f}, {edit_max_ms:.0f} ms".format(**each)],
        ["edit -> status, p50 p99", "{edit_status_p50_ms:.0f}, {edit_status_p99_ms:.0f} ms".format(**each)],
    ]  # fmt: skip
    title = f"{each['services']} services in {each['namespaces']} namespaces"
    return f"\n{report.table([title, ''], rows)}"


def arguments() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--services", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--namespaces", type=int, default=10, help="over how many namespaces (default 10)")
    parser.add_argument("--edits", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--operator", metavar="URL", help="of its metrics, when it does not run in the cluster")
    parser.add_argument("--settle", type=float, default=30, help="seconds before the idle CPU is measured (default 30)")
    parser.add_argument("--idle", type=float, default=60, help="seconds over which it is measured (default 60)")
    return parser


if __name__ == "__main__":
    report.run(arguments(), measure, show)
