"""WatchServer: lists and watches of one namespace over HTTP, with faults that a real API server will not produce on demand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.ports import HOST

NAMESPACE = "ns"
Object = dict[str, Any]


@dataclass
class WatchServer:
    """ConfigMaps and EndpointSlices of one namespace."""

    port: int = 0
    token: str | None = None  # a request with another one gets 401
    objects: dict[str, dict[str, Object]] = field(default_factory=lambda: {"configmaps": {}, "endpointslices": {}})
    refuse: dict[str, int] = field(default_factory=dict)  # by resource, the status of every request
    slow: asyncio.Event | None = None  # lists wait for it
    deaf: bool = False  # watches stay open and send nothing
    namespace_ends: bool = False
    oldest: int = 0  # versions below are compacted: 410
    lists: dict[str, int] = field(default_factory=lambda: {"configmaps": 0, "endpointslices": 0})
    watches: dict[str, list[str]] = field(default_factory=lambda: {"configmaps": [], "endpointslices": []})
    queries: list[dict[str, str]] = field(default_factory=list)
    _version: int = 100
    _events: list[tuple[int, str, str, Object]] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _open: set[web.StreamResponse] = field(default_factory=set)
    _raw: list[bytes] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/api/v1/namespaces/ns", self._namespace)
        app.router.add_get("/api/v1/namespaces/ns/configmaps", self._serve)
        app.router.add_get("/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End the process, and every connection with it."""
        if self._runner is not None:
            self.cut()
            await self._runner.cleanup()
            self._runner = None

    # ---------------------------------------------------------------- objects

    async def put(self, resource: str, found: Object) -> None:
        name = found["metadata"]["name"]
        known = name in self.objects[resource]
        self._version += 1
        found = json.loads(json.dumps(found))
        found["metadata"]["resourceVersion"] = str(self._version)
        self.objects[resource][name] = found
        await self._notify(resource, "MODIFIED" if known else "ADDED", found)

    async def delete(self, resource: str, name: str) -> None:
        found = self.objects[resource].pop(name)
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        await self._notify(resource, "DELETED", found)

    async def _notify(self, resource: str, kind: str, found: Object) -> None:
        async with self._news:
            self._events.append((self._version, resource, kind, found))
            self._news.notify_all()

    async def services(self, *entries: Object | str, name: str = "hearth-gateway", **data: str) -> None:
        """Write the gateway's ConfigMap."""
        wanted = [{"name": each, "namespace": NAMESPACE} if isinstance(each, str) else each for each in entries]
        await self.config(json.dumps({"services": wanted}), name=name, **data)

    async def config(self, document: str, name: str = "hearth-gateway", **data: str) -> None:
        more = {f"{key}.json": value for key, value in data.items()}
        await self.put("configmaps", {"metadata": {"name": name}, "data": {"services.json": document, **more}})

    async def slice(self, service: str, *endpoints: Object, port: int, name: str = "", port_name: str = "http") -> None:
        """Write an EndpointSlice."""
        await self.put(
            "endpointslices",
            {
                "metadata": {"name": name or f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
                "addressType": "IPv4",
                "endpoints": list(endpoints),
                "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
            },
        )

    # ---------------------------------------------------------------- faults

    def cut(self) -> None:
        """Break every watch off."""
        for response in self._open:
            transport = response._req.transport if response._req is not None else None
            if transport is not None:
                transport.abort()

    async def compact(self) -> None:
        """Forget what happened until now: a watch from there is refused, and running ones get an ERROR event."""
        async with self._news:
            self._version += 1
            self.oldest = self._version
            self._events.clear()
            self._news.notify_all()

    async def inject(self, line: bytes) -> None:
        """Send these bytes to every watch."""
        async with self._news:
            self._raw.append(line)
            self._news.notify_all()

    # ---------------------------------------------------------------- HTTP

    async def _namespace(self, request: web.Request) -> web.Response:
        if "namespaces" in self.refuse:
            return _status(self.refuse["namespaces"], "namespaces is forbidden")
        metadata = {"name": NAMESPACE, **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if self.namespace_ends else {})}
        return web.json_response({"kind": "Namespace", "metadata": metadata})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        resource = request.path.rpartition("/")[2]
        self.queries.append(dict(request.query))
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        if resource in self.refuse:
            return _status(self.refuse[resource], f"{resource} is forbidden")
        if "watch" in request.query:
            return await self._watch(request, resource)
        self.lists[resource] += 1
        if self.slow is not None:
            await self.slow.wait()
        return self._list(request, resource)

    def _list(self, request: web.Request, resource: str) -> web.Response:
        items = [found for found in self.objects[resource].values() if _selected(request, found)]
        start, limit = int(request.query.get("continue", "0")), int(request.query.get("limit", "1000000"))
        meta = {"resourceVersion": str(self._version)}
        if start + limit < len(items):
            meta["continue"] = str(start + limit)
        return web.json_response({"kind": "List", "metadata": meta, "items": items[start : start + limit] or None})

    async def _watch(self, request: web.Request, resource: str) -> web.StreamResponse:
        version = request.query["resourceVersion"]
        self.watches[resource].append(version)
        if int(version) < self.oldest:
            return _status(410, "too old resource version")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self._open.add(response)
        seen, raw = int(version), len(self._raw)
        try:
            while True:
                if seen < self.oldest:
                    await response.write(_event("ERROR", {"kind": "Status", "code": 410, "message": "too old"}))
                    return response
                if not self.deaf:
                    for at, of, kind, found in list(self._events):
                        if at > seen and of == resource and _selected(request, found):
                            await response.write(_event(kind, found))
                    seen = max(seen, self._version)
                for line in self._raw[raw:]:
                    await response.write(line)
                raw = len(self._raw)
                async with self._news:
                    await self._news.wait()
        finally:
            self._open.discard(response)

    async def bookmark(self) -> None:
        """Send every watch the version of now."""
        await self.inject(_event("BOOKMARK", {"metadata": {"resourceVersion": str(self._version)}}))


def _selected(request: web.Request, found: Object) -> bool:
    selector = request.query.get("fieldSelector", "")
    return not selector or selector == f"metadata.name={found['metadata']['name']}"


def _event(kind: str, found: Object) -> bytes:
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


def pod(address: str = HOST, name: str = "pod-0", **conditions: bool) -> Object:
    """Return one endpoint of a slice."""
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False, **conditions},
        "targetRef": {"kind": "Pod", "name": name, "uid": f"uid-{name}"},
    }


@contextlib.asynccontextmanager
async def serving(*services: Object | str) -> AsyncIterator[WatchServer]:
    api = WatchServer()
    await api.start()
    if services:
        await api.services(*services)
    try:
        yield api
    finally:
        await api.stop()


def names(found: Iterable[Any]) -> list[str]:
    return sorted(each.id for each in found)
