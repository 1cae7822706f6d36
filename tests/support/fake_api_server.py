"""The API server in memory, over HTTP: discovery, lists, watches and writes, as much as kopf and the operator ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from hearth.operator.kubernetes.errors import ApiError
from hearth.operator.kubernetes.kinds import CHILDREN, EVENT, INFERENCE_RUNTIME, LEASE, LLM_SERVICE, NODE, POD, Kind
from tests.support.fake_api import FakeApi

CRDS = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
NAMESPACES = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
KINDS = (*CHILDREN, EVENT, LEASE, NODE, POD, INFERENCE_RUNTIME, LLM_SERVICE, CRDS, NAMESPACES)


class HttpApi:
    """Server of a FakeApi.

    `watches` counts the open ones; `break_watches` sends an error down all of them; those of the kinds in `forbidden` are
    refused.
    """

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        api.served |= {LEASE, NODE, CRDS, NAMESPACES}
        api.watchers.append(self._tell)
        self.forbidden: set[Kind] = set()
        self._watches: list[tuple[Kind, str, asyncio.Queue[Mapping[str, Any]]]] = []
        self.app = web.Application()
        self.app.router.add_get("/version", self._version)
        self.app.router.add_route("*", "/{path:.*}", self._handle)

    @property
    def watches(self) -> set[str]:
        return {kind.plural for kind, _, _ in self._watches}

    def selector(self, kind: Kind) -> str:
        """Return the label selector with which a kind is watched."""
        return next(selector for each, selector, _ in self._watches if each is kind)

    def break_watches(self, code: int = 500, message: str = "the watch cache is broken") -> None:
        error = {"kind": "Status", "code": code, "message": message}
        for _, _, queue in self._watches:
            queue.put_nowait({"type": "ERROR", "object": error})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"gitVersion": "v1.34.4"})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        page = self._discovery(request.path.rstrip("/"))
        if page is not None:
            return web.json_response(page)
        try:
            return await self._resource(request)
        except ApiError as exc:
            body = {"kind": "Status", "message": exc.message, "code": exc.status, "details": {"name": "x"}}
            return web.json_response(body, status=exc.status)

    def _discovery(self, path: str) -> dict[str, Any] | None:
        kinds = [kind for kind in KINDS if kind in self.api.served]
        if path == "/api":
            return {"versions": ["v1"]}
        if path == "/apis":
            groups = {(kind.group, kind.version) for kind in kinds if kind.group}
            return {
                "groups": [
                    {
                        "name": group,
                        "preferredVersion": {"version": version},
                        "versions": [{"version": version, "groupVersion": f"{group}/{version}"}],
                    }
                    for group, version in sorted(groups)
                ]
            }
        found = [kind for kind in kinds if kind.root == path]
        if not found:
            return None
        verbs = ["get", "list", "watch", "patch", "create", "delete", "update"]
        return {
            "resources": [
                {
                    "name": kind.plural,
                    "singularName": kind.kind.lower(),
                    "kind": kind.kind,
                    "namespaced": kind.namespaced,
                    "verbs": verbs,
                }
                for kind in found
            ]
        }

    async def _resource(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        kind = next(
            (kind for kind in KINDS if path.startswith(f"{kind.root}/") and kind.plural in path.split("/")), None
        )
        if kind is None:
            return web.Response(status=404, text="404 page not found")
        rest = path.removeprefix(f"{kind.root}/").split("/")
        namespace = None
        if rest[0] == "namespaces" and kind is not NAMESPACES:
            namespace, rest = rest[1], rest[2:]
        name = rest[1] if len(rest) > 1 else None
        subresource = rest[2] if len(rest) > 2 else None
        query = request.query
        if request.method == "GET" and name is None:
            if query.get("watch") == "true":
                if kind in self.forbidden:
                    return web.json_response({"kind": "Status", "code": 403, "message": "you may not"}, status=403)
                return await self._watch(request, kind, query.get("labelSelector", ""))
            items = [item async for item in self.api.list(kind, labels=query.get("labelSelector", ""))]
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})
        if request.method == "GET":
            assert name is not None
            return web.json_response(await self.api.get(kind, namespace, name))
        body = await request.json()
        manager = query.get("fieldManager", "unknown")
        if request.method == "PATCH" and "apply" in request.content_type:
            force = query.get("force") == "true"
            return web.json_response(
                await self.api.apply(kind, body, manager=manager, force=force, subresource=subresource)
            )
        if request.method == "POST":
            return web.json_response(await self.api.create(kind, body, manager=manager), status=201)
        if request.method == "PUT":
            return web.json_response(await self.api.replace(kind, body, manager=manager))
        assert name is not None
        if request.method == "DELETE":
            await self.api.delete(kind, namespace, name, uid=body["preconditions"]["uid"])
            return web.json_response({})
        return web.json_response(await self.api.patch(kind, namespace, name, body, manager=manager))

    async def _watch(self, request: web.Request, kind: Kind, selector: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        watch = kind, selector, queue
        self._watches.append(watch)
        try:
            while True:
                event = await queue.get()
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self._watches.remove(watch)

    def _tell(self, kind: Kind, what: str, item: Mapping[str, Any]) -> None:
        labels = item["metadata"].get("labels") or {}
        for each, selector, queue in self._watches:
            key, _, value = selector.partition("=")
            if each is kind and (not selector or labels.get(key) == value):
                queue.put_nowait({"type": what, "object": item})
