"""Client of the Kubernetes API for the suite: the official one, with waits on top.

Objects are JSON documents. Everything waits for an event of the API, never for time to pass. A watch that breaks (the API
server is stopped by some scenarios) is opened again with a fresh list, so that nothing is missed but intermediate states;
`kubernetes.aio.watch` goes on from the last version instead, and creates a TLS context for every watch, which costs 90 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import load_kube_config
from kubernetes.aio.dynamic import DynamicClient, Resource

Object = dict[str, Any]
Objects = list[Object]
Event = tuple[str, Object]
"""`ADDED`, `MODIFIED` or `DELETED` and the object; `LISTED` and nothing."""

MANAGER = "hearth-e2e"
PATIENCE = 240.0
"""Seconds until a wait is a failure."""

_ONE = aiohttp.ClientTimeout(total=60, sock_connect=20)
_STREAM = aiohttp.ClientTimeout(total=None, sock_connect=20)
_PLAIN = {"serialize": False, "_request_timeout": _ONE}
"""Answers as they come, not as objects with attributes."""

_BROKEN = (aiohttp.ClientError, TimeoutError, ConnectionError, ssl.SSLError)

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
"""Kind -> path of its API, plural, whether it is namespaced. Known, so that nothing is asked of discovery in every test."""


class ApiError(Exception):
    """The API server refused a request; `message` is its own sentence, `document` the whole Status."""

    def __init__(self, status: int, message: str, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.document = document or {}

    @classmethod
    def of(cls, error: ApiException) -> ApiError:
        """Read what the official client raises."""
        try:
            document = json.loads(error.body or "")
            return cls(error.status, str(document["message"]), document)
        except (ValueError, KeyError, TypeError):
            return cls(error.status, str(error.body or error.reason))


class WaitError(AssertionError):
    """What was waited for did not happen in time; the text says what was seen last."""


class Kube:
    """One cluster, as the user of a kubeconfig's context."""

    def __init__(self, api: ApiClient) -> None:
        self.warnings: list[str] = []
        """What the server warned of, in order."""
        self._api = api
        self._dynamic = DynamicClient(api)  # not awaited: it would discover every API
        self._resources: dict[str, Resource] = {}

    @classmethod
    async def open(cls, kubeconfig: Path, context: str | None = None) -> Kube:
        """Log in, in any way that a kubeconfig has. `async with await Kube.open(...)` closes its connections."""
        configuration = Configuration()
        await load_kube_config(str(kubeconfig), context, configuration, persist_config=False)
        configuration.connection_pool_maxsize = 0  # no bound: every watch holds a connection
        return cls(ApiClient(configuration))

    async def close(self) -> None:
        """Close every connection."""
        await self._api.close()

    async def __aenter__(self) -> Kube:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------ requests

    async def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """Return an object. Raises ApiError."""
        found: Object = await self._json(self._call("get", kind, name=name, namespace=namespace))
        return found

    async def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return the object, or None when there is none."""
        try:
            return await self.get(kind, name, namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: str, namespace: str | None = None, labels: str = "") -> Objects:
        """Return the objects that a label selector selects."""
        items: Objects = (await self._list(kind, namespace, label_selector=labels or None))["items"]
        return items

    async def table(self, kind: str, namespace: str) -> Object:
        """Return the objects as `kubectl get` prints them."""
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        found: Object = await self._json(self._call("get", kind, namespace=namespace, header_params=accept))
        return found

    async def apply(self, document: Object, *, strict: bool = True, dry_run: bool = False) -> Object:
        """Apply on the server as kubectl does it, with strict field validation; return what is stored."""
        metadata = document["metadata"]
        applied: Object = await self._json(
            self._call(
                "server_side_apply",
                document["kind"],
                body=document,
                namespace=metadata.get("namespace"),
                field_manager=MANAGER,
                force_conflicts=True,
                **_options(strict=strict, dry_run=dry_run),
            )
        )
        return applied

    async def create(self, document: Object, namespace: str | None = None, *, dry_run: bool = False) -> Object:
        """Create an object, with strict field validation; return what is stored."""
        created: Object = await self._json(
            self._call(
                "create",
                document["kind"],
                body=document,
                namespace=namespace or document["metadata"].get("namespace"),
                **_options(strict=True, dry_run=dry_run),
            )
        )
        return created

    async def patch(self, kind: str, name: str, namespace: str | None, change: Any, subresource: str = "") -> Object:
        """Send a merge patch, or a JSON patch when `change` is a list; return what is stored."""
        form = "json-patch" if isinstance(change, list) else "merge-patch"
        where = self.path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        content_type = f"application/{form}+json"
        patched: Object = await self._json(
            self._dynamic.request("patch", where, change, content_type=content_type, **_PLAIN)
        )
        return patched

    async def bind(self, namespace: str, pod: str, node: str) -> None:
        """Assign a pod to a node, as a scheduler does."""
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        where = f"{self.path('Pod', namespace, pod)}/binding"
        await self._json(self._dynamic.request("post", where, binding, **_PLAIN))

    async def delete(self, kind: str, name: str, namespace: str | None = None, grace: int | None = None) -> None:
        """Delete, in the background; nothing happens when there is no such object."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        where = self.path(kind, namespace, name)
        try:
            await self._json(self._dynamic.request("delete", where, options, **_PLAIN))
        except ApiError as error:
            if error.status != 404:
                raise

    async def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, timestamps: bool = False
    ) -> str:
        """Return the log of a container, or of the one before its last restart."""
        query = [("container", container), ("previous", previous), ("timestamps", timestamps)]
        response = await self._log(namespace, pod, query, _ONE)
        async with response:
            text: str = await response.text(errors="replace")
            return text

    async def follow(self, namespace: str, pod: str, container: str) -> AsyncIterator[str]:
        """Yield the lines of a container's log, from its first one until the container ends."""
        response = await self._log(namespace, pod, [("container", container), ("follow", True)], _STREAM)
        async with response:
            async for line in response.content:
                yield line.decode(errors="replace").rstrip("\n")

    async def _log(
        self, namespace: str, pod: str, query: Sequence[tuple[str, Any]], timeout: aiohttp.ClientTimeout
    ) -> Any:
        where = f"{self.path('Pod', namespace, pod)}/log"
        accept = {"Accept": "*/*"}
        return await self._answer(
            self._dynamic.request(
                "get", where, query_params=[*query], header_params=accept, serialize=False, _request_timeout=timeout
            )
        )

    def path(self, kind: str, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path of an object, or of a kind."""
        path: str = self._resource(kind).path(name, namespace)
        return path

    def _resource(self, kind: str) -> Resource:
        if kind not in self._resources:
            api, plural, namespaced = KINDS[kind]
            prefix, *group, version = api.split("/")
            self._resources[kind] = Resource(
                prefix=prefix,
                group="".join(group),
                api_version=version,
                kind=kind,
                namespaced=namespaced,
                name=plural,
                client=self._dynamic,
            )
        return self._resources[kind]

    def _call(self, verb: str, kind: str, **options: Any) -> Awaitable[Any]:
        answer: Awaitable[Any] = getattr(self._dynamic, verb)(self._resource(kind), **{**_PLAIN, **options})
        return answer

    async def _list(self, kind: str, namespace: str | None, **selectors: str | None) -> Object:
        found: Object = await self._json(self._call("get", kind, namespace=namespace, **selectors))
        return found

    async def _json(self, asked: Awaitable[Any]) -> Any:
        async with await self._answer(asked) as response:
            return json.loads(await response.text())

    async def _answer(self, asked: Awaitable[Any]) -> Any:
        """Wait for the headers of an answer. Raises ApiError."""
        try:
            response = await asked
        except ApiException as error:
            self.warnings += error.headers.getall("Warning", []) if error.headers else []
            raise ApiError.of(error) from None
        self.warnings += response.headers.getall("Warning", [])
        return response

    # ------------------------------------------------------------ waiting

    async def watch(
        self, kind: str, namespace: str | None = None, name: str = "", labels: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Yield every object there is, as ADDED, then LISTED, then every change, for ever."""
        known: dict[str, Object] = {}
        selectors = {"field_selector": f"metadata.name={name}" if name else None, "label_selector": labels or None}
        while True:
            try:
                listed = await self._list(kind, namespace, **selectors)
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
                version = listed["metadata"]["resourceVersion"]
                async for change, each in self._stream(kind, namespace, version, selectors):
                    if change == "DELETED":
                        known.pop(_key(each), None)
                    else:
                        known[_key(each)] = each
                    yield change, each
            except _BROKEN:
                await asyncio.sleep(0.2)  # the API server is away: nothing else says when it is back

    async def _stream(
        self, kind: str, namespace: str | None, version: str, selectors: Mapping[str, str | None]
    ) -> AsyncIterator[Event]:
        asked = self._call(
            "get",
            kind,
            namespace=namespace,
            watch=True,
            resource_version=version,
            **selectors,
            _request_timeout=_STREAM,
        )
        try:
            response = await self._answer(asked)
        except ApiError:
            return  # the version is too old: list again
        async with response:
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
        """Wait until the object exists and meets the condition; return it as it was then. Raises WaitError."""
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
            raise WaitError(f"{kind} {where}: not within {seconds:g} s: {what}\nlast seen: {_brief(last)}") from None
        raise AssertionError("a watch has no end")

    async def until_count(
        self,
        kind: str,
        namespace: str,
        labels: str,
        wanted: Callable[[Objects], Any],
        what: str = "",
        seconds: float = PATIENCE,
    ) -> Objects:
        """Wait until the set of objects with these labels meets the condition; return the set. Raises WaitError."""
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
            raise WaitError(f"{kind} {labels}: not within {seconds:g} s: {what}\nlast seen: {seen}") from None
        raise AssertionError("a watch has no end")

    async def until_gone(self, kind: str, name: str, namespace: str | None = None, seconds: float = PATIENCE) -> None:
        """Wait until there is no such object. Raises WaitError."""
        last: Object | None = None
        try:
            async with asyncio.timeout(seconds):
                async with contextlib.aclosing(self.watch(kind, namespace, name)) as events:
                    async for change, found in events:
                        if change == "DELETED" or (change == "LISTED" and last is None):
                            return
                        last = found or last
        except TimeoutError:
            raise WaitError(f"{kind} {name} is still there after {seconds:g} s: {_brief(last)}") from None


def condition(found: Object, kind: str) -> Object:
    """Return one condition of a status; empty when it is not there."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def is_true(kind: str) -> Callable[[Object], bool]:
    """Return what says whether a condition is True, and of the object as it is now."""

    def look(found: Object) -> bool:
        seen = condition(found, kind)
        generation = seen.get("observedGeneration", found["metadata"].get("generation"))
        return seen.get("status") == "True" and generation == found["metadata"].get("generation")

    return look


def _options(*, strict: bool, dry_run: bool) -> dict[str, Any]:
    """Return the options of a write for the official client, which knows all but the validation of fields."""
    return {
        "query_params": [("fieldValidation", "Strict" if strict else "Warn")],
        "dry_run": "All" if dry_run else None,
    }


def _key(found: Object) -> str:
    return f"{found['metadata'].get('namespace', '')}/{found['metadata']['name']}"


def _brief(found: Object | None) -> str:
    if found is None:
        return "nothing"
    shown = {"name": found["metadata"]["name"], "status": found.get("status")}
    if "replicas" in found.get("spec", {}):
        shown["replicas"] = found["spec"]["replicas"]
    return json.dumps(shown)[:3000]
