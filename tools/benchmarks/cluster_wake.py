"""Cold starts on a cluster: from the request at the gateway to KEDA's scaling, and from the listening engine to the client.

`scaled` is the time from the request's first byte leaving this program to the watch event that shows the Deployment with a
replica. `answered` is the time from the engine's log line that it listens, stamped by the container runtime, to the first
data byte at the client that was held. The stub loads for some seconds first, as every real engine does: a pod's
address is published up to a second after its container started, and no request can reach an engine before.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime
from typing import Any

from tools.benchmarks import report
from tools.benchmarks.cluster import ApiError, Kube, Object, WaitError, condition, manifests, namespaces, opened
from tools.benchmarks.processes import BenchmarkError
from tools.benchmarks.streams import Stream, request_bytes

NAMESPACE = "bench-wake"
MODES = ("push", "metrics-api")
SERVICES = 3
"""Of each mode, woken in turn: while one goes to sleep, the next is woken."""

POLLING = 5.0
"""Seconds between two looks of KEDA."""

LISTENS = "Starting vLLM server on"
SERVICE_LABEL = "serving.hearth.dev/llmservice"
LIMIT_SECONDS = 60.0
TOKENS = 3


class Deployments:
    """The wanted replicas of every Deployment, by a watch, and when each change was seen."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._changed = asyncio.Condition()
        self._replicas: dict[str, int] = {}
        self._at: dict[str, float] = {}

    async def follow(self) -> None:
        """Watch until cancelled, and note when replicas change."""
        async with aclosing(self._kube.watch("Deployment", NAMESPACE)) as events:
            async for change, item in events:
                now = time.perf_counter()
                if change not in ("ADDED", "MODIFIED"):
                    continue
                name, replicas = item["metadata"]["name"], item["spec"].get("replicas", 0)
                async with self._changed:
                    if self._replicas.get(name) != replicas:
                        self._replicas[name], self._at[name] = replicas, now
                        self._changed.notify_all()

    async def until(self, name: str, replicas: int) -> float:
        """Wait until the Deployment wants so many replicas; return when that was seen."""
        try:
            async with asyncio.timeout(LIMIT_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self._replicas.get(name) == replicas)
                return self._at[name]
        except TimeoutError:
            raise BenchmarkError(f"Deployment {name} does not want {replicas} within {LIMIT_SECONDS:g} s") from None


async def wake(kube: Kube, deployments: Deployments, name: str, address: str) -> tuple[float, float, float]:
    """One cold start: seconds to the scaling, from listening to the first data byte, and of the whole wait."""
    await asleep(kube, deployments, name)
    if name.startswith("metrics-api"):  # a model goes to sleep at a look of KEDA: the wake must not keep that rhythm
        await asyncio.sleep(random.uniform(0, POLLING))
    stream = Stream(request_bytes(name, user="bench", max_tokens=TOKENS))
    skew = time.time() - time.perf_counter()
    sent = time.perf_counter()
    await asyncio.get_running_loop().create_connection(lambda: stream, address, 80)
    try:
        scaled = await deployments.until(name, 1)
        async with asyncio.timeout(LIMIT_SECONDS):
            await stream.done.wait()
    except TimeoutError:
        raise BenchmarkError(f"{name}: no answer within {LIMIT_SECONDS:g} s") from None
    finally:
        stream.close()
    if stream.error or stream.chunks < TOKENS:
        raise BenchmarkError(f"{name}: {stream.error or f'{stream.chunks} chunks'}")
    listened = await listening(kube, name) - skew
    return scaled - sent, stream.data_at - listened, stream.data_at - sent


async def asleep(kube: Kube, deployments: Deployments, name: str) -> None:
    """Wait until nothing of a service runs any more."""
    await deployments.until(name, 0)
    await kube.until_count("Pod", NAMESPACE, f"{SERVICE_LABEL}={name}", lambda pods: not pods, "no pod", LIMIT_SECONDS)


async def listening(kube: Kube, name: str) -> float:
    """When the engine said that it listens, in seconds since 1970."""
    for pod in await kube.list("Pod", NAMESPACE, f"{SERVICE_LABEL}={name}"):
        try:
            text = await kube.logs(NAMESPACE, pod["metadata"]["name"], "serving", timestamps=True)
        except ApiError:
            continue
        for line in text.splitlines():
            stamp, _, said = line.partition(" ")
            if LISTENS in said:
                seconds, _, fraction = stamp.rstrip("Z").partition(".")
                return datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")
    raise BenchmarkError(f"{name}: the engine's log has no line {LISTENS!r}")


def is_ready(item: Object) -> bool:
    """Return whether the condition Ready is true."""
    return condition(item, "Ready").get("status") == "True"


async def wakes(options: argparse.Namespace) -> dict[str, Any]:
    """Run it. Raises BenchmarkError."""
    runtime = manifests.runtime(
        NAMESPACE,
        env={"STUB_STARTUP_DELAY": f"{options.load}s", "STUB_TOKEN_COUNT": str(TOKENS), "STUB_TOKEN_DELAY": "0s"},
    )
    result: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(opened())
        await stack.enter_async_context(namespaces(kube, [NAMESPACE], runtime))
        deployments = Deployments(kube)
        following = asyncio.create_task(deployments.follow())
        stack.callback(following.cancel)
        for mode in options.modes:
            names = [f"{mode}-{number}" for number in range(SERVICES)]
            addresses = {name: await ready(kube, name, mode) for name in names}
            report.note(f"wake: {options.wakes} in mode {mode}")
            for name in names:  # the first one reads the image, opens connections, compiles
                await wake(kube, deployments, name, addresses[name])
            seconds = []
            for number in range(options.wakes):
                name = names[number % len(names)]
                seconds.append(await wake(kube, deployments, name, addresses[name]))
            result[mode] = {
                "wakes": len(seconds),
                **{
                    f"{what}_{figure}_ms": value * 1000
                    for what, values in zip(("scaled", "answered", "whole"), zip(*seconds, strict=True), strict=True)
                    for figure, value in _figures(values).items()
                },
            }
    return {"cluster_wake": {"load_s": options.load, **result}}


def _figures(values: Sequence[float]) -> dict[str, float]:
    return {
        "min": min(values),
        "p50": statistics.median(values),
        "p99": report.quantile(values, 0.99),
        "max": max(values),
    }


async def ready(kube: Kube, name: str, mode: str) -> str:
    """Apply a service; return its address once it is Ready."""
    scaling = {"scaleDownStabilization": "0s", "scaler": mode}
    await kube.apply(manifests.service(name, NAMESPACE, NAMESPACE, scaling=scaling))
    await kube.until("LLMService", name, NAMESPACE, is_ready, "Ready")
    found = await kube.get("Service", name, NAMESPACE)
    address: str = found["spec"]["clusterIP"]
    return address


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run it; the result is JSON-ready. Raises BenchmarkError."""
    try:
        return asyncio.run(wakes(options))
    except WaitError as error:
        raise BenchmarkError(str(error)) from None


def show(result: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    figures = ("min", "p50", "p99", "max")
    rows = [
        [f"{what}, {mode}", *(f"{each[f'{key}_{figure}_ms']:.0f} ms" for figure in figures)]
        for key, what in (
            ("scaled", "request -> replicas changed"),
            ("answered", "engine listens -> first data byte"),
            ("whole", f"the whole cold start ({result['cluster_wake']['load_s']:g} s of loading)"),
        )
        for mode, each in result["cluster_wake"].items()
        if mode in MODES
    ]
    return f"\n{report.table(['cold starts', *figures], rows)}"


def arguments() -> argparse.ArgumentParser:
    """Return the options of this benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wakes", type=int, default=30, help="in each mode (default 30)")
    parser.add_argument("--load", type=float, default=2.0, help="seconds that the engine loads (default 2)")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="default both")
    return parser


if __name__ == "__main__":
    report.run(arguments(), measure, show)
