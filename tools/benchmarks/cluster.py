"""Cluster benchmarks' common parts: which cluster, namespaces that are cleaned up, the operator's own metrics."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.cluster import manifests
from tests.cluster.kube import ApiError, Kube, Object, WaitError, condition
from tests.cluster.node import state_directory
from tools.benchmarks import report
from tools.benchmarks.processes import BenchmarkError

__all__ = [
    "ApiError",
    "Kube",
    "Object",
    "Operator",
    "WaitError",
    "condition",
    "keda_as_shipped",
    "manifests",
    "namespaces",
    "opened",
]

SYSTEM = "hearth-system"
OPERATOR = "hearth-operator"
OPERATOR_PORT = 8081
GONE_SECONDS = 900.0


@asynccontextmanager
async def opened() -> AsyncIterator[Kube]:
    """Open the cluster of KUBECONFIG and E2E_CONTEXT, or the devcluster. Raises BenchmarkError without one."""
    named = os.environ.get("KUBECONFIG")
    kubeconfig = Path(named) if named else state_directory(os.environ.get("E2E_CLUSTER", "hearth")) / "kubeconfig"
    if not kubeconfig.exists():
        raise BenchmarkError(f"{kubeconfig}: there is no cluster; run `make cluster-up` or set KUBECONFIG")
    async with await Kube.open(kubeconfig, os.environ.get("E2E_CONTEXT") or None) as kube:
        yield kube


@asynccontextmanager
async def namespaces(kube: Kube, names: Iterable[str], runtime: Object) -> AsyncIterator[None]:
    """Namespaces that enforce the `restricted` level, and a runtime; all deleted at the end."""
    names = list(names)
    await remove(kube, names)  # what an interrupted run left
    try:
        for name in names:
            await kube.apply(manifests.namespace(name))
        await kube.apply(runtime)
        yield
    finally:
        try:
            await remove(kube, names)
        except WaitError as error:  # what was measured counts all the same
            report.note(f"not cleaned up: {error}")
        await kube.delete("InferenceRuntime", runtime["metadata"]["name"])


@asynccontextmanager
async def keda_as_shipped(kube: Kube) -> AsyncIterator[None]:
    """KEDA with its own limit of requests, 20 a second, where the development cluster has raised it."""
    kept = (await kube.get("Deployment", "keda-operator", "keda"))["spec"]["template"]["spec"]["containers"][0]["args"]
    shipped = [word for word in kept if not word.startswith("--kube-api-")]
    if shipped == kept:
        yield
        return
    await _keda_args(kube, shipped)
    try:
        yield
    finally:
        await _keda_args(kube, kept)


async def _keda_args(kube: Kube, args: list[str]) -> None:
    change = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": args}]
    changed = await kube.patch("Deployment", "keda-operator", "keda", change)

    def rolled(found: Object) -> bool:
        status, wanted = found.get("status", {}), found["spec"]["replicas"]
        seen: bool = status.get("observedGeneration", 0) >= changed["metadata"]["generation"]
        counts = [status.get(name) for name in ("updatedReplicas", "availableReplicas", "replicas")]
        return seen and counts == [wanted] * 3

    await kube.until("Deployment", "keda-operator", "keda", rolled, "KEDA with other arguments")


async def remove(kube: Kube, names: Iterable[str]) -> None:
    """Delete namespaces and wait until they are gone."""
    there = [name for name in names if await kube.find("Namespace", name) is not None]
    for name in there:
        await kube.delete("Namespace", name)
    for name in there:
        await kube.until_gone("Namespace", name, seconds=GONE_SECONDS)


class Operator:
    """The operator's process as its /metrics show it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    @classmethod
    @asynccontextmanager
    async def found(cls, kube: Kube, url: str | None = None) -> AsyncIterator[Operator]:
        """Return the one whose metrics are at `url`, or the replica that leads. Raises BenchmarkError when none does."""
        if url is not None:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
                yield cls(session, url)
            return
        deployment = await kube.find("Deployment", OPERATOR, SYSTEM)
        if deployment is None:
            raise BenchmarkError(f"there is no Deployment {SYSTEM}/{OPERATOR}; install the chart first")
        labels = ",".join(f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items())
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            for pod in await kube.list("Pod", SYSTEM, labels):
                if condition(pod, "Ready").get("status") != "True" or "deletionTimestamp" in pod["metadata"]:
                    continue
                operator = cls(session, f"http://{pod['status']['podIP']}:{OPERATOR_PORT}/metrics")
                if await operator.metric("hearth_operator_leader"):
                    yield operator
                    return
        raise BenchmarkError(f"no pod of {SYSTEM}/{OPERATOR} is Ready and leads; see kubectl -n {SYSTEM} get pods")

    async def metric(self, name: str) -> float:
        """Return a metric without labels. Raises BenchmarkError when it is not there."""
        async with self._session.get(self._url) as response:
            text = await response.text()
        for line in text.splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return float(value)
        raise BenchmarkError(f"{self._url} has no {name}")

    async def resident(self) -> float:
        """Resident memory in bytes."""
        return await self.metric("process_resident_memory_bytes")

    async def cpu(self) -> float:
        """CPU seconds since its start."""
        return await self.metric("process_cpu_seconds_total")

    async def largest(self, stop: asyncio.Event, every: float = 5.0) -> float:
        """Return the largest resident memory seen until `stop`, in bytes."""
        largest = await self.resident()
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), every)
            except TimeoutError:
                largest = max(largest, await self.resident())
        return largest
