"""A client of the Kubernetes API that is as small as the suite needs: JSON documents, and waiting by watch.

Everything waits for an event of the API, never for time to pass. A watch that breaks (the API server is stopped by
some scenarios) is opened again with a fresh list, so that nothing is missed but intermediate states.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import yaml

Object = dict[str, Any]
Event = tuple[str, Object]  # ADDED, MODIFIED or DELETED, and the object; LISTED and nothing

MANAGER = "hearth-e2e"
PATIENCE = 240.0  # seconds until a wait is a failure

# kind -> (path of its API, plural, namespaced)
KINDS: Mapping[str, tuple[str, str, bool]] = {
    "ConfigMap": ("api/v1", "configmaps", True),
    "CustomResourceDefinition": ("apis/apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "Deployment": ("apis/apps/v1", "deployments", True),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices", True),
    "Event": ("api/v1", "events", True),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers", True),
    "InferenceRuntime": ("apis/serving.hearth.dev/v1alpha1", "inferenceruntimes", False),
    "Job": ("apis/batch/v1", "jobs", True),
    "LLMService": ("apis/serving.hearth.dev/v1alpha1", "llmservices", True),
    "Lease": ("apis/coordination.k8s.io/v1", "leases", True),
    "Namespace": ("api/v1", "namespaces", False),
    "Node": ("api/v1", "nodes", False),
    "PersistentVolume": ("api/v1", "persistentvolumes", False),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims", True),
    "Pod": ("api/v1", "pods", True),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets", True),
    "ReplicaSet": ("apis/apps/v1", "replicasets", True),
    "ResourceQuota": ("api/v1", "resourcequotas", True),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings", True),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ScaledObject": ("apis/keda.sh/v1alpha1", "scaledobjects", True),
    "Service": ("api/v1", "services", True),
    "ServiceAccount": ("api/v1", "serviceaccounts", True),
}

_BROKEN = (aiohttp.ClientError, TimeoutError, ConnectionError, ssl.SSLError)


class ApiError(Exception):
    """The API server refused a request; ``message`` is its own sentence."""

    def __init__(self, status: int, message: str, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.document = document or {}


class NeverError(AssertionError):
    """What was waited for did not happen in time; the text says what was seen last."""


class Kube:
    """One connection to one cluster, as the user of a kubeconfig's context."""

    def __init__(self, server: str, tls: ssl.SSLContext | bool, token: str | None) -> None:
        self.server = server
        self.warnings: list[str] = []  # what the server warned of, in order
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=60, sock_connect=20),
        )

    @classmethod
    def open(cls, kubeconfig: Path, context: str | None = None) -> Kube:
        """Read a kubeconfig with client certificates or a token; other ways to log in are refused."""
        config = yaml.safe_load(kubeconfig.read_text())
        name = context or config["current-context"]
        chosen = _named(config["contexts"], name)["context"]
        cluster = _named(config["clusters"], chosen["cluster"])["cluster"]
        user = _named(config["users"], chosen["user"])["user"]
        if not user.keys() & {"client-certificate", "client-certificate-data", "token"}:
            raise SystemExit(f"{kubeconfig}: the user of context {name} has neither a client certificate nor a token")
        tls: ssl.SSLContext | bool = False
        if cluster["server"].startswith("https:"):
            tls = ssl.create_default_context()
            with contextlib.ExitStack() as files:
                if authority := _file(cluster, "certificate-authority", files):
                    tls.load_verify_locations(authority)
                if certificate := _file(user, "client-certificate", files):
                    tls.load_cert_chain(certificate, _file(user, "client-key", files))
        return cls(cluster["server"].rstrip("/"), tls, user.get("token"))

    async def close(self) -> None:
        await self._session.close()

    async def __aenter__(self) -> Kube:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------ requests

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json, */*",
        **query: str,
    ) -> Any:
        """One request; its JSON, or its text when it is none. Raises ApiError."""
        async with self._session.request(
            method,
            f"{self.server}/{path}",
            params=query,
            data=None if body is None else json.dumps(body),
            headers={"Accept": accept, **({"Content-Type": content_type} if body is not None else {})},
        ) as response:
            self.warnings += response.headers.getall("Warning", [])
            text = await response.text()
            document = json.loads(text) if response.content_type == "application/json" else text
            if response.status >= 400:
                said = document if isinstance(document, dict) else {"message": text}
                raise ApiError(response.status, str(said.get("message", text)), said)
            return document

    async def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        found: Object = await self.request("GET", path(kind, namespace, name))
        return found

    async def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None when there is none."""
        try:
            return await self.get(kind, name, namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: str, namespace: str | None = None, labels: str = "") -> list[Object]:
        query = {"labelSelector": labels} if labels else {}
        found = await self.request("GET", path(kind, namespace), **query)
        items: list[Object] = found["items"]
        return items

    async def apply(self, document: Object, *, strict: bool = True, **query: str) -> Object:
        """Server-side apply as kubectl does it, with strict field validation."""
        metadata = document["metadata"]
        applied: Object = await self.request(
            "PATCH",
            path(document["kind"], metadata.get("namespace"), metadata["name"]),
            document,
            "application/apply-patch+yaml",
            fieldManager=MANAGER,
            force="true",
            fieldValidation="Strict" if strict else "Warn",
            **query,
        )
        return applied

    async def create(self, document: Object, **query: str) -> Object:
        namespace = document["metadata"].get("namespace")
        created: Object = await self.request("POST", path(document["kind"], namespace), document, **query)
        return created

    async def patch(self, kind: str, name: str, namespace: str | None, change: Any, subresource: str = "") -> Object:
        """A merge patch, or a JSON patch when ``change`` is a list."""
        form = "json-patch" if isinstance(change, list) else "merge-patch"
        where = path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        patched: Object = await self.request("PATCH", where, change, f"application/{form}+json")
        return patched

    async def delete(self, kind: str, name: str, namespace: str | None = None, grace: int | None = None) -> None:
        """Delete, in the background; nothing happens when there is no such object."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self.request("DELETE", path(kind, namespace, name), options)
        except ApiError as error:
            if error.status != 404:
                raise

    async def logs(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
        query = {"container": container, **({"previous": "true"} if previous else {})}
        text = await self.request("GET", f"{path('Pod', namespace, pod)}/log", **query)
        return text if isinstance(text, str) else json.dumps(text)

    async def follow(self, namespace: str, pod: str, container: str) -> AsyncIterator[str]:
        """The lines of a container's log, from its first one until the container ends."""
        where = f"{self.server}/{path('Pod', namespace, pod)}/log?container={container}&follow=true"
        async with self._session.get(where, timeout=aiohttp.ClientTimeout(total=None, sock_connect=20)) as response:
            if response.status >= 400:
                raise ApiError(response.status, await response.text())
            async for line in response.content:
                yield line.decode(errors="replace").rstrip("\n")

    # ------------------------------------------------------------ waiting

    async def watch(
        self, kind: str, namespace: str | None = None, name: str = "", labels: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Every object there is, as ADDED, then LISTED, then every change, for ever."""
        known: dict[str, Object] = {}
        selector = {
            **({"fieldSelector": f"metadata.name={name}"} if name else {}),
            **({"labelSelector": labels} if labels else {}),
        }
        while True:
            try:
                listed = await self.request("GET", path(kind, namespace), **selector)
                fresh = {_key(each): each for each in listed["items"]}
                for key in known.keys() - fresh.keys():
                    yield "DELETED", known.pop(key)
                for key, each in fresh.items():
                    before = known.get(key)
                    known[key] = each
                    if before is None:
                        yield "ADDED", each
                    elif before["metadata"]["resourceVersion"] != each["metadata"]["resourceVersion"]:
                        yield "MODIFIED", each
                yield "LISTED", {}
                async for change, each in self._stream(
                    kind, namespace, selector, listed["metadata"]["resourceVersion"]
                ):
                    if change == "DELETED":
                        known.pop(_key(each), None)
                    else:
                        known[_key(each)] = each
                    yield change, each
            except _BROKEN:
                await asyncio.sleep(0.2)  # the API server is away: nothing else tells when it is back

    async def _stream(
        self, kind: str, namespace: str | None, selector: Mapping[str, str], version: str
    ) -> AsyncIterator[Event]:
        query = urlencode({**selector, "watch": "true", "resourceVersion": version})
        where = f"{self.server}/{path(kind, namespace)}?{query}"
        async with self._session.get(
            where, timeout=aiohttp.ClientTimeout(total=None, sock_connect=20), read_bufsize=1 << 22
        ) as response:
            if response.status >= 400:
                return
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] != "BOOKMARK":
                    yield event["type"], {"kind": kind, **event["object"]}

    async def until(
        self,
        kind: str,
        name: str,
        namespace: str | None,
        condition: Callable[[Object], Any],
        what: str = "",
        seconds: float = PATIENCE,
    ) -> Object:
        """Wait until the object exists and meets the condition; return it as it was then. Raises NeverError."""
        last: Object | None = None
        try:
            async with asyncio.timeout(seconds):
                async with contextlib.aclosing(self.watch(kind, namespace, name)) as events:
                    async for change, found in events:
                        if change == "LISTED":
                            continue
                        last = None if change == "DELETED" else found
                        if last is not None and condition(last):
                            return last
        except TimeoutError:
            where = f"{namespace}/{name}" if namespace else name
            raise NeverError(f"{kind} {where}: not within {seconds:g} s: {what}\nlast seen: {_brief(last)}") from None
        raise AssertionError("a watch has no end")

    async def until_count(
        self,
        kind: str,
        namespace: str,
        labels: str,
        wanted: Callable[[list[Object]], Any],
        what: str = "",
        seconds: float = PATIENCE,
    ) -> list[Object]:
        """Wait until the set of objects with these labels meets the condition; return the set. Raises NeverError."""
        present: dict[str, Object] = {}
        try:
            async with asyncio.timeout(seconds):
                listed = False
                async with contextlib.aclosing(self.watch(kind, namespace, labels=labels)) as events:
                    async for change, each in events:
                        if change == "LISTED":
                            listed = True
                        elif change == "DELETED":
                            present.pop(_key(each), None)
                        else:
                            present[_key(each)] = each
                        if listed and wanted(list(present.values())):
                            return list(present.values())
        except TimeoutError:
            seen = [_brief(each) for each in present.values()]
            raise NeverError(f"{kind} {labels}: not within {seconds:g} s: {what}\nlast seen: {seen}") from None
        raise AssertionError("a watch has no end")

    async def until_gone(self, kind: str, name: str, namespace: str | None = None, seconds: float = PATIENCE) -> None:
        """Wait until there is no such object."""
        last: Object | None = None
        try:
            async with asyncio.timeout(seconds):
                async with contextlib.aclosing(self.watch(kind, namespace, name)) as events:
                    async for change, found in events:
                        if change == "DELETED" or (change == "LISTED" and last is None):
                            return
                        last = found or last
        except TimeoutError:
            raise NeverError(f"{kind} {name} is still there after {seconds:g} s: {_brief(last)}") from None


def path(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    api, plural, namespaced = KINDS[kind]
    parts = [api, *(["namespaces", namespace] if namespaced and namespace else []), plural, *([name] if name else [])]
    return "/".join(parts)


def condition(found: Object, kind: str) -> Object:
    """One condition of a status; empty when it is not there."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def is_true(kind: str) -> Callable[[Object], bool]:
    """Whether a condition is True, and of the object as it is now."""

    def look(found: Object) -> bool:
        seen = condition(found, kind)
        generation = seen.get("observedGeneration", found["metadata"].get("generation"))
        return seen.get("status") == "True" and generation == found["metadata"].get("generation")

    return look


def _key(found: Object) -> str:
    return f"{found['metadata'].get('namespace', '')}/{found['metadata']['name']}"


def _brief(found: Object | None) -> str:
    if found is None:
        return "nothing"
    shown = {"name": found["metadata"]["name"], "status": found.get("status")}
    if "replicas" in found.get("spec", {}):
        shown["replicas"] = found["spec"]["replicas"]
    return json.dumps(shown)[:3000]


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = next((each for each in entries if each["name"] == name), None)
    if found is None:
        raise SystemExit(f"the kubeconfig has no entry {name!r}; it has {', '.join(each['name'] for each in entries)}")
    return found


def _file(entry: Mapping[str, Any], key: str, files: contextlib.ExitStack) -> str | None:
    """A path for what a kubeconfig names, or holds itself."""
    if (data := entry.get(f"{key}-data")) is None:
        return entry.get(key)
    descriptor, name = tempfile.mkstemp()
    files.callback(os.unlink, name)
    with os.fdopen(descriptor, "wb") as output:
        output.write(base64.b64decode(data))
    return name
