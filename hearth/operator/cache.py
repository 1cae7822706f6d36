"""What the operator knows of the cluster: plain dictionaries, filled by watch events, lists and its own writes."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from hearth.api import InferenceRuntime
from hearth.operator.fingerprint import live_digest
from hearth.operator.kubernetes.errors import OperatorError
from hearth.operator.kubernetes.kinds import DEPLOYMENT, Kind
from hearth.operator.objects import (
    AnyView,
    Deployment,
    FieldManager,
    Metadata,
    Pod,
    View,
    read,
    read_managers,
    read_metadata,
    read_view,
)
from hearth.operator.planner import ServiceEntry, read_runtime, read_service
from hearth.planning import GATEWAY_LABEL, PREWARM_LABEL, SERVICE_LABEL

logger = logging.getLogger(__name__)

MANAGER = "hearth-operator"
"""The field manager of everything that is applied."""

INIT_MANAGER = "hearth-init"
"""The field manager that creates Deployments of backends, with the replicas that they start with. When `MANAGER` applies one
for the first time, nothing but those is left to it."""

Claims = Literal["settled", "created", "kept"]
"""What the first manager of a Deployment claims: the replicas at most; everything, which it created, and the usual manager nothing
yet; or more than the replicas beside the usual manager, so that it would keep alive what a new plan leaves out."""

Change = Literal["none", "content", "status", "gone"]
"""What an event tells about a child: nothing new, somebody changed what was applied, its status changed, it is gone."""


class Key(NamedTuple):
    """What is reconciled: a service, or with an empty name what the services of a namespace share."""

    namespace: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.name else self.namespace


class ChildId(NamedTuple):
    kind: Kind
    namespace: str
    name: str


@dataclass(slots=True)
class Child:
    """An object that carries Hearth's label.

    `service` is the LLMService that its labels name, `gateway` the gateway (shared ones belong to no service), `owner`
    the uid of its controller. `live` is the digest of what is there; `wanted` that of what was applied last and `seen`
    what `live` was right after that: while it still is, there is nothing to apply.
    """

    uid: str
    version: int
    service: str
    gateway: str
    owner: str | None
    deleting: bool
    live: bytes
    view: View | None
    claims: Claims = "settled"
    wanted: bytes | None = None
    seen: bytes | None = None

    @property
    def is_available(self) -> bool:
        """Whether it is a Deployment with an available replica."""
        return isinstance(self.view, Deployment) and self.view.is_available

    def is_as_wanted(self, wanted: bytes) -> bool:
        return self.wanted == wanted and self.seen == self.live and not self.deleting and self.claims != "kept"


class Cache:
    """Everything known. Nothing in it is asynchronous, so it is consistent between two awaits."""

    def __init__(self) -> None:
        self.services: dict[Key, ServiceEntry] = {}
        self.runtimes: dict[str, InferenceRuntime] = {}
        """Those that are not valid any more as they were when they last were."""
        self.invalid: dict[str, OperatorError] = {}
        """Why runtimes are not valid, by name."""
        self.children: dict[ChildId, Child] = {}
        self.pods: dict[tuple[str, str], Pod] = {}
        self.epoch = 0
        """Counts the changes of runtimes."""
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._of_service: defaultdict[Key, set[ChildId]] = defaultdict(set)
        self._of_gateway: defaultdict[str, set[ChildId]] = defaultdict(set)
        self._pods_of: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._pod_versions: dict[tuple[str, str], int] = {}
        self._runtime_versions: dict[str, int] = {}

    # Services

    def see_service(self, item: Mapping[str, Any]) -> tuple[ServiceEntry, bool]:
        """Remember a service. Returns its entry, and whether anything that is planned from changed."""
        metadata = read_metadata(item)
        key = Key(metadata.namespace, metadata.name)
        entry = self.services.get(key)
        version = metadata.version
        if entry is not None and version <= entry.version:
            return entry, False
        fresh = read_service(item)
        self._names[key.namespace].add(key.name)
        if entry is None or entry.uid != fresh.uid:
            self.services[key] = fresh
            return fresh, True
        changed = entry.generation != fresh.generation or entry.deleting != fresh.deleting
        entry.refresh(fresh)
        return entry, changed

    def forget_service(self, key: Key, *, uid: str | None = None) -> bool:
        """Forget a service that is gone. Returns whether it was known."""
        entry = self.services.get(key)
        if entry is None or (uid is not None and entry.uid != uid):
            return False
        del self.services[key]
        self._names[key.namespace].discard(key.name)
        if not self._names[key.namespace]:
            del self._names[key.namespace]
        return True

    def services_in(self, namespace: str) -> list[ServiceEntry]:
        return [self.services[Key(namespace, name)] for name in sorted(self._names.get(namespace, ()))]

    @property
    def namespaces(self) -> set[str]:
        """Every namespace with a service, or with something of a shared gateway."""
        return {*self._names, *self._of_gateway}

    # Runtimes

    def see_runtime(self, item: Mapping[str, Any]) -> bool:
        """Remember a runtime. Returns whether plans may change."""
        metadata = read_metadata(item)
        name, version = metadata.name, metadata.version
        if version <= self._runtime_versions.get(name, -1):
            return False
        self._runtime_versions[name] = version
        before, fault = self.runtimes.get(name), self.invalid.pop(name, None)
        try:
            runtime = read_runtime(item)
        except OperatorError as exc:
            logger.warning(
                "InferenceRuntime %s is not valid%s: %s", name, ", and used as it was" if before else "", exc
            )
            self.invalid[name] = exc
            changed = str(exc) != str(fault)
        else:
            self.runtimes[name] = runtime
            changed = (
                before is None
                or fault is not None
                or (before.spec, before.metadata.annotations) != (runtime.spec, runtime.metadata.annotations)
            )
        self.epoch += changed
        return changed

    def forget_runtime(self, name: str) -> bool:
        known = self.runtimes.pop(name, None) is not None
        known = self.invalid.pop(name, None) is not None or known
        self.epoch += known
        return known

    # Children

    def see_child(self, kind: Kind, item: Mapping[str, Any]) -> Change:
        """Remember a child from a watch event or a list."""
        metadata = read_metadata(item)
        child_id = ChildId(kind, metadata.namespace, metadata.name)
        known = self.children.get(child_id)
        if known is not None and known.uid == metadata.uid and metadata.version <= known.version:
            return "none"
        child = _child(kind, item, metadata)
        if known is None or known.uid != child.uid:
            self._index(child_id, child)
            return "content"
        child.wanted, child.seen = known.wanted, known.seen
        self._index(child_id, child)
        if child.live != known.live or child.deleting != known.deleting:
            # Unless it is what was applied, seen before the answer to the apply.
            return "content" if child.live != child.seen or child.deleting else "status"
        return "status" if child.view != known.view else "none"

    def applied(self, kind: Kind, item: Mapping[str, Any], wanted: bytes) -> Child:
        """Remember what the API server answered to an apply of an object with the digest `wanted`."""
        metadata = read_metadata(item)
        child_id = ChildId(kind, metadata.namespace, metadata.name)
        known = self.children.get(child_id)
        child = _child(kind, item, metadata)
        child.wanted, child.seen = wanted, child.live
        if known is not None and known.uid == child.uid and known.version > child.version:
            known.wanted, known.seen = child.wanted, child.seen  # an event overtook the answer
            return known
        self._index(child_id, child)
        return child

    def forget_child(self, child_id: ChildId, *, uid: str | None = None) -> Child | None:
        """Forget a child that is gone. Returns it when it was known."""
        child = self.children.get(child_id)
        if child is None or (uid is not None and child.uid != uid):
            return None
        del self.children[child_id]
        self._unindex(child_id, child)
        return child

    def child(self, kind: Kind, namespace: str, name: str) -> Child | None:
        return self.children.get(ChildId(kind, namespace, name))

    def view(self, wanted: type[AnyView], namespace: str, name: str) -> AnyView | None:
        """What is kept of a child, None when there is none."""
        child = self.child(wanted.kind, namespace, name)
        return child.view if child is not None and isinstance(child.view, wanted) else None

    def is_available(self, namespace: str, name: str) -> bool:
        """Whether a Deployment has an available replica."""
        child = self.child(DEPLOYMENT, namespace, name)
        return child is not None and child.is_available

    def has(self, kind: Kind) -> bool:
        """Whether there is any child of a kind."""
        return any(child_id.kind is kind for child_id in self.children)

    def children_of(self, key: Key) -> list[ChildId]:
        """The children whose labels name a service, or with an empty name those of the namespace's shared gateway."""
        found = self._of_service.get(key) if key.name else self._of_gateway.get(key.namespace)
        return sorted(found or (), key=lambda child_id: (child_id.kind.kind, child_id.name))

    # Pods

    def see_pod(self, item: Mapping[str, Any]) -> Pod | None:
        """Remember a pod. Returns it when something about it is new."""
        metadata = read_metadata(item)
        pod_id, version = (metadata.namespace, metadata.name), metadata.version
        if version <= self._pod_versions.get(pod_id, -1):
            return None
        pod = read(item, Pod)
        self._pod_versions[pod_id] = version
        if self.pods.get(pod_id) == pod:
            return None
        self._unindex_pod(pod_id)
        self.pods[pod_id] = pod
        for label, value in _pod_labels(pod):
            self._pods_of[pod_id[0], label, value].add(pod_id[1])
        return pod

    def forget_pod(self, namespace: str, name: str) -> Pod | None:
        """Forget a pod that is gone. Returns it when it was known."""
        self._unindex_pod((namespace, name))
        self._pod_versions.pop((namespace, name), None)
        return self.pods.pop((namespace, name), None)

    def pods_of(self, namespace: str, label: str, value: str) -> list[Pod]:
        """The pods of a namespace with a label of Hearth's, by name."""
        return [self.pods[namespace, name] for name in sorted(self._pods_of.get((namespace, label, value), ()))]

    def _unindex_pod(self, pod_id: tuple[str, str]) -> None:
        pod = self.pods.get(pod_id)
        if pod is None:
            return
        for label, value in _pod_labels(pod):
            _discard(self._pods_of, (pod_id[0], label, value), pod_id[1])

    def _index(self, child_id: ChildId, child: Child) -> None:
        known = self.children.get(child_id)
        if known is not None:
            self._unindex(child_id, known)
        self.children[child_id] = child
        if child.service:
            self._of_service[Key(child_id.namespace, child.service)].add(child_id)
        elif child.gateway:
            self._of_gateway[child_id.namespace].add(child_id)

    def _unindex(self, child_id: ChildId, child: Child) -> None:
        if child.service:
            _discard(self._of_service, Key(child_id.namespace, child.service), child_id)
        elif child.gateway:
            _discard(self._of_gateway, child_id.namespace, child_id)


def _child(kind: Kind, item: Mapping[str, Any], metadata: Metadata) -> Child:
    return Child(
        uid=metadata.uid,
        version=metadata.version,
        service=metadata.labels.get(SERVICE_LABEL, ""),
        gateway=metadata.labels.get(GATEWAY_LABEL, ""),
        owner=metadata.controller,
        deleting=bool(metadata.deletion_timestamp),
        live=live_digest(item),
        view=read_view(kind, item),
        claims=claims_of(read_managers(item)) if kind is DEPLOYMENT else "settled",
    )


def claims_of(managers: Iterable[FieldManager]) -> Claims:
    """What `hearth-init` claims, by the managed fields of a Deployment."""
    applied = {each.manager: each.fields for each in managers if each.operation == "Apply"}
    fields = applied.get(INIT_MANAGER)
    if fields is None or (set(fields) == {"f:spec"} and set(fields["f:spec"]) == {"f:replicas"}):
        return "settled"
    return "kept" if MANAGER in applied else "created"


def _pod_labels(pod: Pod) -> Iterator[tuple[str, str]]:
    labels = pod.metadata.labels
    for label in (SERVICE_LABEL, PREWARM_LABEL, GATEWAY_LABEL):
        if label in labels:
            yield label, labels[label]


def _discard(index: defaultdict[Any, set[Any]], key: Any, value: Any) -> None:
    found = index.get(key)
    if found is not None:
        found.discard(value)
        if not found:
            del index[key]
