"""A namespace of its own for a scenario, and what scenarios do in it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import openai

from tests.cluster import manifests
from tests.cluster.clients import Addresses, http_client, openai_client
from tests.cluster.kube import PATIENCE, ApiError, Kube, Object, Objects, WaitError, condition, is_true
from tests.cluster.request_log import RequestLog
from tests.cluster.timeline import Recorder, Timeline, replicas
from tests.support.waiting import until

SERVING = "serving.hearth.dev/llmservice"
GATEWAY = "serving.hearth.dev/gateway"
GATEWAY_NAME = "hearth-gateway"
POLL = 0.05
"""Seconds between two requests to a gateway, which reports no changes."""

MANY_REJECTED = 20
"""Pods of one ReplicaSet that kubelet rejects before a wait for them is given up."""


class Namespace:
    """A namespace `name`; runtimes that belong to no namespace are called after it."""

    def __init__(self, kube: Kube, name: str, timeline: Timeline) -> None:
        self.kube = kube
        self.name = name
        self.timeline = timeline
        self.addresses = Addresses(kube)
        self.request_log = RequestLog(kube, name)
        self._stack = contextlib.AsyncExitStack()
        self._runtimes: set[str] = set()
        self._devices = False

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, kube: Kube, name: str, timeline: Timeline, level: str = "restricted"
    ) -> AsyncIterator[Namespace]:
        """Create the namespace; delete it, and the runtimes, at the end without waiting for the last pod."""
        if await kube.find("Namespace", name) is not None:  # of an earlier run
            await kube.delete("Namespace", name)
            await kube.until_gone("Namespace", name)
        await kube.apply(manifests.namespace(name, level))
        namespace = cls(kube, name, timeline)
        try:
            async with namespace._stack:
                await namespace._stack.enter_async_context(namespace.request_log)
                yield namespace
        finally:
            await kube.delete("Namespace", name)
            for each in namespace._runtimes:
                await kube.delete("InferenceRuntime", each)

    # ------------------------------------------------------------ objects

    async def runtime(self, suffix: str = "", **options: Any) -> str:
        """Apply a runtime of the suite; return its name."""
        name = "-".join(filter(None, [self.name, suffix]))
        await self.kube.apply(manifests.runtime(name, **options))
        self._runtimes.add(name)
        return name

    async def service(
        self, name: str = "model", runtime: str | None = None, *, ready: bool = True, **options: Any
    ) -> Model:
        """Apply a service, with the plain runtime unless another is named, and wait until it is Ready."""
        runtime = runtime or await self.runtime()
        await self.kube.apply(manifests.service(name, self.name, runtime, **options))
        model = Model(self, name)
        if ready:
            await model.ready()
        return model

    def http(self, seconds: float = 120) -> httpx2.AsyncClient:
        """Return a client that lives as long as the scenario."""
        client = http_client(self.addresses, seconds)
        self._stack.push_async_callback(client.aclose)
        return client

    async def devices(self, count: int) -> str:
        """Give the node so many devices of a kind of this scenario's own, for as long as it lasts; return the resource name.

        With 0 the pods that want one wait until there are more: what is held meanwhile is held for as long as it takes.
        """
        resource = f"hearth.dev/{self.name}"
        key = resource.replace("/", "~1")
        node = (await self.kube.list("Node"))[0]["metadata"]["name"]
        for part in ("capacity", "allocatable"):
            change = [{"op": "add", "path": f"/status/{part}/{key}", "value": str(count)}]
            await self.kube.patch("Node", node, None, change, "status")

        async def remove() -> None:
            for part in ("capacity", "allocatable"):
                with contextlib.suppress(ApiError):
                    change = [{"op": "remove", "path": f"/status/{part}/{key}"}]
                    await self.kube.patch("Node", node, None, change, "status")

        if not self._devices:
            self._devices = True
            self._stack.push_async_callback(remove)
        return resource

    async def gateway_pods(self, count: int | None = None) -> Objects:
        """Wait for the gateway's pods that are Ready and stay, `count` or any number of them; return them."""

        def enough(found: Objects) -> bool:
            return len(steady(found)) == count if count is not None else bool(steady(found))

        return steady(await self.pods_until(GATEWAY, enough, f"{count or 'some'} gateway pods ready"))

    async def pods_until(
        self, labels: str, wanted: Callable[[Objects], Any], what: str, seconds: float = PATIENCE
    ) -> Objects:
        """Wait until the pods with these labels are as wanted; return them. Raises WaitError.

        Pods that kubelet has rejected are left out, as if they were not there: their ReplicaSet has others made. The timeline
        names them, and so does the error; when there are many, nothing is waited for any longer.
        """
        rejected: dict[str, str] = {}

        def look(found: Objects) -> Any:
            for pod in found:
                name = pod["metadata"]["name"]
                if rejection(pod) and name not in rejected:
                    rejected[name] = rejection(pod)
                    self.timeline.say(f"kubelet rejected pod {name}: {rejection(pod)}")
            if len(rejected) > MANY_REJECTED:
                raise WaitError(f"{what}: kubelet rejects one pod after the other: {[*rejected.values()][-1]}")
            return wanted(admitted(found))

        try:
            return admitted(await self.kube.until_count("Pod", self.name, labels, look, what, seconds))
        except WaitError as error:
            raise WaitError(f"{error}\nrejected by kubelet: {rejected or 'none'}") from None

    async def dump(self, directory: Path) -> None:
        """Write down what is in the namespace, for a scenario that failed."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "timeline.txt").write_text("\n".join(self.timeline.lines) + "\n")
        for key, lines in self.request_log.lines.items():
            (directory / f"engine-{key}.log").write_text("\n".join(lines) + "\n")
        for kind in (
            "LLMService", "Deployment", "ReplicaSet", "Pod", "Service", "EndpointSlice", "ConfigMap", "ScaledObject",
            "HorizontalPodAutoscaler", "Job", "PersistentVolumeClaim", "Event",
        ):  # fmt: skip
            with contextlib.suppress(ApiError):
                found = await self.kube.list(kind, self.name)
                for each in found:
                    each["metadata"].pop("managedFields", None)
                (directory / f"{kind}.json").write_text(json.dumps(found, indent=1))
        await dump_logs(self.kube, self.name, GATEWAY, directory)
        await dump_logs(self.kube, self.name, "serving.hearth.dev/prewarm", directory)


class Model:
    """One LLMService of a scenario."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        self.namespace = namespace
        self.kube = namespace.kube
        self.name = name
        self.host = f"{name}.{namespace.name}.svc"
        self.pods_label = f"{SERVING}={name}"

    async def ready(self, seconds: float = PATIENCE) -> Object:
        """Wait for the condition Ready, as `kubectl wait --for=condition=Ready` does, and for an answer at its address."""
        found = await self.until(is_true("Ready"), "Ready", seconds)
        await self.reachable()
        return found

    async def reachable(self, seconds: float = PATIENCE) -> None:
        """Wait until the Service leads to a gateway that knows the model; kube-proxy needs a moment."""
        url, seen = f"http://{self.host}/{self.name}/hearth/queue", ""
        # until kube-proxy knows a Service, what is sent to it is lost: try again before TCP does, after a second
        async with http_client(self.namespace.addresses, 5, connect=0.5) as client:

            async def answers() -> bool:
                nonlocal seen
                try:
                    answer = await client.get(url)
                except httpx2.HTTPError as error:
                    seen = repr(error)
                    return False
                seen = f"{answer.status_code}: {answer.text}"
                return answer.status_code == 200

            await until(answers, lambda: f"{url} answers; last seen: {seen}", seconds, interval=POLL)

    async def until(self, wanted: Callable[[Object], Any], what: str, seconds: float = PATIENCE) -> Object:
        return await self.kube.until("LLMService", self.name, self.namespace.name, wanted, what, seconds)

    async def until_condition(
        self, kind: str, status: str, reason: str | None = None, says: str = "", seconds: float = PATIENCE
    ) -> Object:
        """Wait for a condition; return it."""

        def wanted(found: Object) -> bool:
            seen = condition(found, kind)
            return (
                seen.get("status") == status
                and (reason is None or seen.get("reason") == reason)
                and says in seen.get("message", "")
            )

        found = await self.until(wanted, f"{kind}={status} {reason or ''} {says!r}", seconds)
        return condition(found, kind)

    def client(self, seconds: float = 120, retries: int = 0) -> openai.AsyncOpenAI:
        """Return a new client with connections of its own; it lives as long as the scenario."""
        client = openai_client(self.namespace.addresses, self.host, seconds, retries)
        self.namespace._stack.push_async_callback(client.close)
        return client

    def client_at(self, port: int, seconds: float = 120) -> openai.AsyncOpenAI:
        """Return a client of the same host on another port: that of a gateway's pod that the host is pinned to."""
        client = openai_client(self.namespace.addresses, self.host, seconds, port=port)
        self.namespace._stack.push_async_callback(client.close)
        return client

    async def demand(self) -> Mapping[str, Any]:
        """Return what the gateway reports at /hearth/queue."""
        async with http_client(self.namespace.addresses, 5) as client:
            document: Mapping[str, Any] = (await client.get(f"http://{self.host}/{self.name}/hearth/queue")).json()
            return document

    async def held(self, count: int, seconds: float = PATIENCE) -> None:
        """Wait until the gateway counts so much demand."""
        seen: Any = None

        async def enough() -> bool:
            nonlocal seen
            with contextlib.suppress(httpx2.HTTPError, ValueError):
                seen = await self.demand()
                return bool(seen.get("pending", 0) >= count)
            return False

        await until(enough, lambda: f"{self.name}: the demand is {count}; last seen: {seen}", seconds, interval=POLL)

    def replicas(self) -> Recorder:
        """(wanted, ready) replicas over time; an asynchronous context."""
        return replicas(self.kube, self.name, self.namespace.name)

    async def pods(self) -> Objects:
        return await self.kube.list("Pod", self.namespace.name, self.pods_label)

    async def awake(self, count: int = 1, seconds: float = PATIENCE) -> Objects:
        """Wait until so many backends are Ready; return their pods."""
        found = await self.namespace.pods_until(
            self.pods_label, lambda pods: len(steady(pods)) >= count, f"{count} backends Ready", seconds
        )
        return steady(found)

    async def asleep(self, seconds: float = PATIENCE) -> None:
        """Wait until the Deployment has no replicas and no pod is left."""
        await self.kube.until(
            "Deployment", self.name, self.namespace.name, lambda each: each["spec"].get("replicas") == 0, "0", seconds
        )
        await self.namespace.pods_until(self.pods_label, lambda pods: not pods, "no pod", seconds)


def rejection(pod: Object) -> str:
    """Return why kubelet rejected a pod that was assigned to its node, with `OutOf...` first; empty when it did not."""
    status = pod.get("status", {})
    reason, message = status.get("reason", ""), status.get("message", "")
    is_rejected = status.get("phase") == "Failed" and (
        reason.startswith("OutOf") or message.startswith("Pod was rejected")
    )
    return f"{reason}: {message}" if is_rejected else ""


def admitted(pods: Objects) -> Objects:
    """Return the pods that kubelet did not reject."""
    return [pod for pod in pods if not rejection(pod)]


def steady(pods: Objects) -> Objects:
    """Return the pods that are Ready and not about to go."""
    return [
        pod for pod in pods
        if "deletionTimestamp" not in pod["metadata"] and condition(pod, "Ready").get("status") == "True"
    ]  # fmt: skip


async def ready_pod(kube: Kube, namespace: str, labels: str) -> Object:
    """Wait until the one pod with these labels is Ready; return it."""
    found = await kube.until_count("Pod", namespace, labels, lambda pods: bool(steady(pods)), f"{labels} is Ready")
    return steady(found)[0]


async def dump_logs(kube: Kube, namespace: str, labels: str, directory: Path) -> None:
    """Write down the logs of pods, also of containers that were restarted."""
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(ApiError):
        for pod in await kube.list("Pod", namespace, labels):
            name = pod["metadata"]["name"]
            for container in pod["spec"]["containers"]:
                for previous in (False, True):
                    with contextlib.suppress(ApiError):
                        text = await kube.logs(namespace, name, container["name"], previous=previous)
                        suffix = "-previous" if previous else ""
                        (directory / f"{name}-{container['name']}{suffix}.log").write_text(text)
