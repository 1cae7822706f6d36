"""An API server in memory, with what the operator relies on: server-side apply, versions, uids, owners, label selectors.

Field ownership is that of Kubernetes as far as it matters here: maps merge, lists of named items merge by name, other
lists are one value; what nobody owns any more goes away. `crash` makes a request fail as the death of the process does.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from hearth.operator.kubernetes.errors import NotFound, NotServed, refusal
from hearth.operator.kubernetes.kinds import CHILDREN, EVENT, INFERENCE_RUNTIME, LLM_SERVICE, POD, SERVICE, Kind

Path = tuple[str, ...]
Fields = dict[Path, Any]
Watcher = Callable[[Kind, str, Mapping[str, Any]], None]
Address = tuple[Kind, str | None, str]

_FIXED = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "uid")}
_KEPT = ("metadata", "resourceVersion")


class Crash(BaseException):
    """The process dies here."""


class Stored:
    def __init__(self, body: Mapping[str, Any], uid: str) -> None:
        self.fields: Fields = {}
        self.managers: dict[tuple[str, str], set[Path]] = {}
        self.uid = uid
        self.version = 0
        self.generation = 1
        self.status: Any = None
        self.deleting = False
        self.base = {"apiVersion": body["apiVersion"], "kind": body["kind"]}
        self.name = body["metadata"]["name"]
        self.namespace = body["metadata"].get("namespace")

    def spec_fields(self) -> Fields:
        return {path: value for path, value in self.fields.items() if path[0] != "metadata"}

    def wire(self) -> dict[str, Any]:
        item = _build(self.fields)
        item |= self.base
        metadata = item.setdefault("metadata", {})
        metadata |= {"name": self.name, "uid": self.uid, "resourceVersion": str(self.version)}
        metadata |= {"generation": self.generation, "creationTimestamp": "2026-01-01T00:00:00Z"}
        if self.namespace is not None:
            metadata["namespace"] = self.namespace
        if self.deleting:
            metadata["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        metadata["managedFields"] = [
            {"manager": manager, "operation": operation, "fieldsV1": _field_set(paths)}
            for (manager, operation), paths in self.managers.items()
            if paths
        ]
        if self.status is not None:
            item["status"] = copy.deepcopy(self.status)
        return item


class FakeApi:
    """See the module."""

    def __init__(self) -> None:
        self.stored: dict[Address, Stored] = {}
        self.served = {LLM_SERVICE, INFERENCE_RUNTIME, POD, EVENT, *CHILDREN}
        self.going: set[str] = set()
        self.watchers: list[Watcher] = []
        self.requests: list[tuple[str, str, str]] = []
        """(verb, kind, name) of everything that was asked."""
        self.crash: int | None = None
        self.crash_after_effect = False
        self.refuse: dict[tuple[str, str], tuple[int, Any]] = {}
        """(verb, kind) -> (status, Status object) that is answered."""
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    # What tests do beside the operator

    def put(self, kind: Kind, item: Mapping[str, Any]) -> dict[str, Any]:
        """Set fields of an object, as `kubectl patch` does."""
        return self._apply(kind, item, "kubectl-patch", operation="Update", force=True)

    def put_whole(self, kind: Kind, item: Mapping[str, Any]) -> dict[str, Any]:
        """Create or change an object, as `kubectl apply` does: what is left out goes away."""
        return self._apply(kind, item, "kubectl", operation="Apply", force=True)

    def set_status(self, kind: Kind, namespace: str | None, name: str, status: Mapping[str, Any]) -> None:
        stored = self.stored[kind, namespace, name]
        stored.status = copy.deepcopy(dict(status))
        self._changed(kind, stored, "MODIFIED")

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """Do what KEDA does: write the replicas through the scale subresource."""
        kind = next(kind for kind in CHILDREN if kind.kind == "Deployment")
        stored = self.stored[kind, namespace, name]
        path = ("spec", "replicas")
        for paths in stored.managers.values():
            paths.discard(path)
        stored.managers.setdefault(("keda", "Update"), set()).add(path)
        stored.fields[path] = replicas
        stored.generation += 1
        self._changed(kind, stored, "MODIFIED")

    def remove(self, kind: Kind, namespace: str | None, name: str, *, silently: bool = False) -> None:
        """Delete an object and what it owns; `silently` as in a gap between two watches."""
        stored = self.stored.pop((kind, namespace, name))
        stored.version = next(self._versions)
        if not silently:
            self._tell(kind, "DELETED", stored)
        for (owned_kind, owned_namespace, owned_name), owned in list(self.stored.items()):
            owners = owned.fields.get(("metadata", "ownerReferences")) or []
            if any(owner["uid"] == stored.uid for owner in owners):
                self.remove(owned_kind, owned_namespace, owned_name, silently=silently)

    def has(self, kind: Kind, namespace: str | None, name: str) -> bool:
        return (kind, namespace, name) in self.stored

    def wire(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        return self.stored[kind, namespace, name].wire()

    def names(self, kind: Kind) -> list[str]:
        return sorted(name for each, _, name in self.stored if each is kind)

    # What the operator does

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        with self._request("get", kind, name):
            return self._found(kind, namespace, name).wire()

    async def list(self, kind: Kind, *, labels: str = "") -> AsyncIterator[dict[str, Any]]:
        with self._request("list", kind, labels):
            self._check_served(kind)
            found = [stored.wire() for (each, _, _), stored in self.stored.items() if each is kind]
        for item in found:
            if _selected(item, labels):
                yield {key: value for key, value in item.items() if key not in ("apiVersion", "kind")}

    async def apply(
        self, kind: Kind, body: Mapping[str, Any], *, manager: str, force: bool, subresource: str | None = None
    ) -> dict[str, Any]:
        metadata = body["metadata"]
        with self._request("apply" if subresource is None else f"apply-{subresource}", kind, metadata["name"]):
            self._check_served(kind)
            if subresource == "status":
                stored = self._found(kind, metadata.get("namespace"), metadata["name"])
                if metadata.get("uid", stored.uid) != stored.uid:
                    raise _refused(409, "uid differs", kind, metadata["name"])
                stored.status = copy.deepcopy(body["status"])
                self._changed(kind, stored, "MODIFIED")
                return stored.wire()
            return self._apply(kind, body, manager, operation="Apply", force=force)

    async def create(self, kind: Kind, body: Mapping[str, Any], *, manager: str) -> dict[str, Any]:
        metadata = dict(body["metadata"])
        if "generateName" in metadata:
            metadata["name"] = f"{metadata.pop('generateName')}{next(self._uids)}"
        with self._request("create", kind, metadata["name"]):
            self._check_served(kind)
            if (kind, metadata.get("namespace"), metadata["name"]) in self.stored:
                raise _refused(409, "already exists", kind, metadata["name"])
            return self._apply(kind, {**body, "metadata": metadata}, manager, operation="Update", force=True)

    async def replace(self, kind: Kind, body: Mapping[str, Any], *, manager: str) -> dict[str, Any]:
        metadata = body["metadata"]
        with self._request("replace", kind, metadata["name"]):
            stored = self._found(kind, metadata.get("namespace"), metadata["name"])
            if metadata.get("resourceVersion") != str(stored.version):
                raise _refused(409, "the object has been modified", kind, metadata["name"])
            return self._apply(kind, body, manager, operation="Update", force=True)

    async def patch(
        self, kind: Kind, namespace: str | None, name: str, operations: Sequence[Mapping[str, Any]], *, manager: str
    ) -> dict[str, Any]:
        with self._request("patch", kind, name):
            stored = self._found(kind, namespace, name)
            item = stored.wire()
            for operation in operations:
                _operate(item, operation, kind, name)
            stored.managers = {
                (entry["manager"], entry["operation"]): set(_paths(entry["fieldsV1"]))
                for entry in item["metadata"]["managedFields"]
            }
            self._changed(kind, stored, "MODIFIED")
            return stored.wire()

    async def delete(self, kind: Kind, namespace: str | None, name: str, *, uid: str) -> None:
        with self._request("delete", kind, name):
            stored = self.stored.get((kind, namespace, name))
            if stored is not None and stored.uid == uid:
                self.remove(kind, namespace, name)

    async def serves(self, kind: Kind) -> bool:
        return kind in self.served

    # Inside

    def _request(self, verb: str, kind: Kind, name: str) -> _Request:
        return _Request(self, verb, kind, name)

    def _check_served(self, kind: Kind) -> None:
        if kind not in self.served:
            raise NotServed(404, "NotServed", f"{kind.plural}: the server could not find the requested resource")

    def _found(self, kind: Kind, namespace: str | None, name: str) -> Stored:
        self._check_served(kind)
        stored = self.stored.get((kind, namespace, name))
        if stored is None:
            raise NotFound(404, "NotFound", f"{kind.plural} {name} not found")
        return stored

    def _apply(
        self, kind: Kind, body: Mapping[str, Any], manager: str, *, operation: str, force: bool
    ) -> dict[str, Any]:
        metadata = body["metadata"]
        address = kind, metadata.get("namespace"), metadata["name"]
        stored = self.stored.get(address)
        version = metadata.get("resourceVersion")
        if stored is None:
            if metadata.get("uid") and operation == "Apply":
                raise _refused(409, "uid mismatch: no existing object was found", kind, metadata["name"])
            if metadata.get("namespace") in self.going:
                cause = {"causes": [{"reason": "NamespaceTerminating"}]}
                raise refusal(403, {"message": "is being terminated", "details": cause}, kind.plural)
            number = next(self._uids)
            stored = Stored(body, f"uid-{number}")
            if kind is SERVICE:
                stored.fields["spec", "clusterIP"] = f"10.0.0.{number}"
            if kind is EVENT:
                stored.base |= {k: v for k, v in body.items() if k not in ("metadata", "apiVersion", "kind")}
        elif (metadata.get("uid", stored.uid)) != stored.uid or (version and version != str(stored.version)):
            raise _refused(409, "the object has been modified", kind, metadata["name"])
        wanted = {
            path: value
            for path, value in _flat({k: v for k, v in body.items() if k != "status"}).items()
            if path not in _FIXED and path != _KEPT and path[:2] != ("metadata", "managedFields")
        }
        me = manager, operation
        others = {who: paths for who, paths in stored.managers.items() if who != me}
        clashes = [
            path
            for path, value in wanted.items()
            if path in stored.fields and stored.fields[path] != value and any(path in o for o in others.values())
        ]
        if clashes and not force:
            raise _refused(409, f"conflict: {clashes[0]}", kind, metadata["name"])
        before = dict(stored.fields), stored.generation
        for paths in others.values():
            paths.difference_update(clashes)
        dropped = stored.managers.get(me, set()) - wanted.keys() if operation == "Apply" else set()
        for path in dropped:
            if not any(path in paths for paths in others.values()):
                stored.fields.pop(path, None)
        stored.managers[me] = set(wanted) | (stored.managers.get(me, set()) if operation == "Update" else set())
        stored.fields.update(copy.deepcopy(wanted))
        if kind.kind == "Deployment":
            stored.fields.setdefault(("spec", "replicas"), 1)
        new = address not in self.stored
        self.stored[address] = stored
        if not new and before[0] == stored.fields:
            return stored.wire()
        if not new and {p: v for p, v in before[0].items() if p[0] != "metadata"} != stored.spec_fields():
            stored.generation += 1
        self._changed(kind, stored, "ADDED" if new else "MODIFIED")
        return stored.wire()

    def _changed(self, kind: Kind, stored: Stored, what: str) -> None:
        stored.version = next(self._versions)
        self._tell(kind, what, stored)

    def _tell(self, kind: Kind, what: str, stored: Stored) -> None:
        for watcher in self.watchers:
            watcher(kind, what, stored.wire())


class _Request:
    """Counts a request, and lets it fail where a test says so."""

    def __init__(self, api: FakeApi, verb: str, kind: Kind, name: str) -> None:
        self._api = api
        self._what = verb, kind.kind, name

    def __enter__(self) -> None:
        api = self._api
        api.requests.append(self._what)
        if api.crash == len(api.requests) and not api.crash_after_effect:
            raise Crash(*self._what)
        answer = api.refuse.get(self._what[:2])
        if answer is not None:
            raise refusal(*answer, what=f"{self._what[0]} {self._what[1]}")

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None and self._api.crash == len(self._api.requests) and self._api.crash_after_effect:
            raise Crash(*self._what)


def _refused(status: int, message: str, kind: Kind, name: str) -> Exception:
    return refusal(status, {"message": message, "details": {"name": name, "kind": kind.plural}}, kind.plural)


def _flat(value: Any, path: Path = ()) -> Fields:
    if isinstance(value, Mapping) and value and path[-2:] != ("metadata", "ownerReferences"):
        return {k: v for key, item in value.items() for k, v in _flat(item, (*path, key)).items()}
    named = isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value)
    if named and path[-1:] != ("ownerReferences",):
        return {k: v for item in value for k, v in _flat(dict(item), (*path, f"[{item['name']}")).items()}
    return {path: value}


def _build(fields: Fields) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, value in fields.items():
        place = root
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = copy.deepcopy(value)
    return _listed(root)


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.startswith("[") for key in value):
        return [_listed(item) for item in value.values()]
    return {key: _listed(item) for key, item in value.items()}


def _field_set(paths: set[Path]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in paths:
        place = root
        for step in path:
            place = place.setdefault(f"f:{step}", {})
    return root


def _paths(fields: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    for key, below in fields.items():
        step = (*path, key.removeprefix("f:"))
        yield from _paths(below, step) if below else [step]


def _operate(item: Any, operation: Mapping[str, Any], kind: Kind, name: str) -> None:
    """One operation of a JSON Patch."""
    *way, last = operation["path"].strip("/").split("/")
    place = item
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    what, value = operation["op"], copy.deepcopy(operation.get("value"))
    if what == "test":
        if place.get(last) != value:
            raise _refused(422, f"testing value {operation['path']} failed", kind, name)
    elif what == "remove":
        del place[last]
    elif last == "-":
        place.append(value)
    else:
        place[int(last) if isinstance(place, list) else last] = value


def _selected(item: Mapping[str, Any], selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, _, value in _terms(selector))


def _terms(selector: str) -> Iterator[tuple[str, str, str]]:
    return (term.partition("=") for term in selector.split(",") if term)
