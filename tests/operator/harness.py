"""An operator over the fake API server, in a time of its own: `settle` runs it until there is nothing left to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hearth.operator.cache import Cache, ChildId, Key
from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.errors import OperatorError
from hearth.operator.kubernetes.event_recorder import EventRecorder
from hearth.operator.kubernetes.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    INFERENCE_RUNTIME,
    LLM_SERVICE,
    NODE,
    POD,
    Kind,
)
from hearth.operator.main import build_reconciler
from hearth.operator.metrics import Metrics
from hearth.operator.objects import read_metadata
from hearth.operator.planner import Planner
from hearth.operator.watch.event_handlers import EventHandlers
from hearth.operator.watch.keda_discovery import KedaDiscovery
from hearth.operator.watch.resync import Resync
from hearth.operator.work_queue import WorkQueue
from hearth.planning import PlanOptions
from hearth.plugins import VendorHost
from tests.support import manifests
from tests.support.clock import FakeClock
from tests.support.fake_api import FakeApi
from tests.support.manifests import Manifest

LONGEST = 300.0
"""Seconds of the operator's time after which a key that still fails is left alone."""


HOST = VendorHost.of({})


class Harness:
    """One process of the operator. Make another one over the same API server for a restart."""

    def __init__(self, api: FakeApi, host: VendorHost, options: PlanOptions | None = None) -> None:
        self.api = api
        self.clock = FakeClock()
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(self.clock)
        self.keda = KedaAvailability(self.cache, self.queue, self.clock.time)
        self.metrics = Metrics()
        self.handlers = EventHandlers(self.cache, self.queue, self.keda, self.metrics)
        self.discovery = KedaDiscovery(api, self.keda)
        self.resync = Resync(api, self.cache, self.queue, self.handlers, self.keda, self.discovery)
        self.reconciler = build_reconciler(
            api,
            self.cache,
            self.queue,
            self.keda,
            self.metrics,
            Planner(host, options or PlanOptions(), self.cache),
            EventRecorder(api, "harness"),
            self.clock.time,
        )
        self.errors: list[tuple[Key, OperatorError]] = []
        self.reconciled: list[Key] = []

    async def start(self) -> None:
        """Look at everything and watch from then on, as a process does when it starts."""
        await self.resync.run()
        self.api.watchers.append(self._watch)
        self.handlers.queue_all(0.0)
        await self.settle()

    def _watch(self, kind: Kind, what: str, item: Mapping[str, Any]) -> None:
        """Tell what a watch with a label selector tells: an object that loses the label is gone. Nodes are not watched."""
        if kind is NODE:
            return
        if kind in (EVENT, LLM_SERVICE, INFERENCE_RUNTIME) or read_metadata(item).is_hearths:
            if kind is not EVENT:
                self.handlers.handle(kind, what, item)
        elif (
            kind is POD or ChildId(kind, item["metadata"]["namespace"], item["metadata"]["name"]) in self.cache.children
        ):
            self.handlers.handle(kind, "DELETED", item)

    def stop(self) -> None:
        """End the process, in whatever way."""
        if self._watch in self.api.watchers:
            self.api.watchers.remove(self._watch)

    async def settle(self, seconds: float = LONGEST) -> None:
        """Work until nothing is left to do, or so many seconds have passed."""
        until = self.clock.now + seconds
        while True:
            while self.queue.depth:
                await self._one()
            if not self.clock.step(until):
                return

    async def _one(self) -> None:
        key = await self.queue.get()
        self.reconciled.append(key)
        try:
            if await self.reconciler.reconcile(key):
                self.queue.succeeded(key)
        except OperatorError as exc:
            self.errors.append((key, exc))
            self.queue.retry(key)
        finally:
            self.queue.done(key)

    # Shorthands

    def service(self, name: str = "m", namespace: str = "ns", **spec: Any) -> None:
        """Create or change an LLMService as kubectl does."""
        self.api.put_whole(LLM_SERVICE, manifest(name, namespace, **spec))

    def runtime(self, name: str, **changes: Any) -> None:
        self.api.put_whole(INFERENCE_RUNTIME, runtime_manifest(name, **changes))

    def node(self, name: str = "node-1", devices: int = 1) -> None:
        """Let a node join, with so many devices of `runtime_manifest`'s kind."""
        self.api.served.add(NODE)
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
        self.api.put(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        amounts = {"cpu": "8", **({"acme.example/device": str(devices)} if devices else {})}
        self.api.set_status(NODE, None, name, {"allocatable": amounts})

    def gateway_up(self, namespace: str = "ns", name: str = "hearth-gateway", available: int = 1) -> None:
        """Let the gateway's pods become ready, or not."""
        self.api.set_status(
            DEPLOYMENT, namespace, name, {"replicas": 1, "readyReplicas": available, "availableReplicas": available}
        )

    def status(self, name: str = "m", namespace: str = "ns") -> Mapping[str, Any]:
        status: Mapping[str, Any] = self.api.wire(LLM_SERVICE, namespace, name).get("status") or {}
        return status

    def condition(self, kind: str, name: str = "m", namespace: str = "ns") -> Mapping[str, Any]:
        conditions = self.status(name, namespace)["conditions"]
        found: Mapping[str, Any] = next(condition for condition in conditions if condition["type"] == kind)
        return found


def manifest(name: str = "m", namespace: str = "ns", **spec: Any) -> Manifest:
    """Return an LLMService for the runtimes of `runtime_manifest`."""
    given = {
        "model": {"source": {"uri": "hf://org/model"}},
        "runtime": {"name": "engine"},
        "cache": {"strategy": "None"},
        **spec,
    }
    return manifests.service(name, namespace, **given)


def runtime_manifest(name: str = "engine", *, image: str = "engine:1", args: tuple[str, ...] = ()) -> Manifest:
    """Return an InferenceRuntime that needs no plugin."""
    return manifests.runtime(
        name,
        adapter="generic",
        container={"image": image, "args": list(args), "port": {"name": "http", "containerPort": 8000}},
        accelerator={"resourceName": "acme.example/device"},
    )


def serving(api: FakeApi) -> Mapping[str, Any]:
    container: Mapping[str, Any] = api.wire(DEPLOYMENT, "ns", "m")["spec"]["template"]["spec"]["containers"][0]
    return container


def replicas(api: FakeApi, name: str = "m") -> int:
    count: int = api.wire(DEPLOYMENT, "ns", name)["spec"]["replicas"]
    return count


def named(kind: Kind, name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns"} | ({"labels": dict(labels)} if labels else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def services_document(api: FakeApi) -> list[str]:
    data = api.wire(CONFIG_MAP, "ns", "hearth-gateway")["data"]
    return [entry["name"] for entry in json.loads(data["services.json"])["services"]]


@contextmanager
def late_watch(api: FakeApi) -> Iterator[None]:
    """Hold back the watches: what happens meanwhile is told by none."""
    watchers, api.watchers = api.watchers, []
    yield
    api.watchers = watchers


WEBHOOK = 500, {"message": 'failed calling webhook "policy.example": no endpoints available'}
