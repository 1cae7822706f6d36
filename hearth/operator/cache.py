"""Cache of the cluster: plain dictionaries, filled by watch events, lists and the operator's own writes."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from hearth.api import InferenceRuntime
from hearth.operator.fingerprint import live_digest
from hearth.operator.kubernetes.client import MANAGER
from hearth.operator.kubernetes.errors import OperatorError
from hearth.operator.kubernetes.kinds import ACCOUNT, DEPLOYMENT, Kind
from hearth.operator.objects import (
    AnyView,
    Deployment,
    FieldManager,
    Metadata,
    Pod,
    Service,
    View,
    read,
    read_managers,
    read_metadata,
    read_view,
)
from hearth.operator.service_entry import ServiceEntry, read_runtime, read_service
from hearth.planning import GATEWAY_LABEL, PREWARM_LABEL, SERVICE_LABEL

logger = logging.getLogger(__name__)

INIT_MANAGER = "hearth-init"
"""Field manager that creates Deployments of backends, with the replicas that they start with."""

Claims = Literal["settled", "created", "kept"]
"""Ownership of the fields of a Deployment of backends, by server-side apply (see `reconcile/apply.py`).

| state     | `hearth-init` owns      | `hearth-operator` owns | what follows                                              |
|-----------|-------------------------|------------------------|-----------------------------------------------------------|
| `created` | every field             | nothing                | the first change hands over all but `replicas`: `settled` |
| `kept`    | more than `replicas`    | what it applied        | release all but `replicas`, at once: `settled`            |
| `settled` | `replicas`, or nothing  | what it applied        | an apply also removes the fields that a plan leaves out   |

`created` comes from the creation, where one apply sets the replicas to start with. `kept` comes from a hand-over that could not
be done: fields that `hearth-init` still owns would survive when a plan drops them. The autoscaler takes `replicas` over."""

Change = Literal["none", "content", "status", "gone"]
"""Meaning of an event for a child: nothing new, what was applied was changed, its status changed, it was deleted."""


class Key(NamedTuple):
    """Key of what is reconciled: a service, or with an empty name what the services of a namespace share."""

    namespace: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.name else self.namespace


class ChildId(NamedTuple):
    """Identity of a child."""

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
        """Return whether there is nothing to apply."""
        return self.wanted == wanted and self.seen == self.live and not self.deleting and self.claims != "kept"


class Cache:
    """Everything known. No method is asynchronous, so the cache is consistent between two awaits."""

    def __init__(self) -> None:
        self.services: dict[Key, ServiceEntry] = {}
        self.runtimes: dict[str, InferenceRuntime] = {}
        """By name. One that is no longer valid is here as it last was valid."""
        self.invalid: dict[str, OperatorError] = {}
        """Reasons why runtimes are not valid, by name."""
        self.children: dict[ChildId, Child] = {}
        self.pods: dict[tuple[str, str], Pod] = {}
        self.epoch = 0
        """Number of changes of runtimes."""
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._of_service: defaultdict[Key, set[ChildId]] = defaultdict(set)
        self._of_gateway: defaultdict[str, set[ChildId]] = defaultdict(set)
        self._pods_of: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._pod_versions: dict[tuple[str, str], int] = {}
        self._runtime_versions: dict[str, int] = {}

    # Services

    def see_service(self, item: Mapping[str, Any]) -> tuple[ServiceEntry, bool]:
        """Remember a service. Return its entry, and whether anything changed that plans are made from."""
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
        """Forget a service that is gone. Return whether it was known."""
        entry = self.services.get(key)
        if entry is None or (uid is not None and entry.uid != uid):
            return False
        del self.services[key]
        self._names[key.namespace].discard(key.name)
        if not self._names[key.namespace]:
            del self._names[key.namespace]
        return True

    def services_in(self, namespace: str) -> list[ServiceEntry]:
        """Return the services of a namespace, by name."""
        return [self.services[Key(namespace, name)] for name in sorted(self._names.get(namespace, ()))]

    @property
    def namespaces(self) -> set[str]:
        """Every namespace with a service, or with something of a shared gateway."""
        return {*self._names, *self._of_gateway}

    # Runtimes

    def see_runtime(self, item: Mapping[str, Any]) -> bool:
        """Remember a runtime. Return whether plans may change."""
        metadata = read_metadata(item)
        name, version = metadata.name, metadata.version
        if version <= self._runtime_versions.get(name, -1):
            return False
        self._runtime_versions[name] = version
        before, fault = self.runtimes.get(name), self.invalid.pop(name, None)
        try:
            runtime = read_runtime(item)
        except OperatorError as exc:
            kept = ", keeping its last valid version" if before else ""
            logger.warning("InferenceRuntime %s is invalid%s: %s", name, kept, exc)
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
        """Forget a runtime that is gone. Return whether it was known."""
        known = self.runtimes.pop(name, None) is not None
        known = self.invalid.pop(name, None) is not None or known
        self.epoch += known
        return known

    # Children

    def see_child(self, kind: Kind, item: Mapping[str, Any]) -> Change:
        """Remember a child from a watch event or a list. Return what is new about it."""
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
        """Forget a child that is gone. Return it when it was known."""
        child = self.children.get(child_id)
        if child is None or (uid is not None and child.uid != uid):
            return None
        del self.children[child_id]
        self._unindex(child_id, child)
        return child

    def child(self, kind: Kind, namespace: str, name: str) -> Child | None:
        """Return a child; None when it is not known."""
        return self.children.get(ChildId(kind, namespace, name))

    def view(self, wanted: type[AnyView], namespace: str, name: str) -> AnyView | None:
        """Return what is kept of a child; None when there is none."""
        child = self.child(wanted.kind, namespace, name)
        return child.view if child is not None and isinstance(child.view, wanted) else None

    def is_available(self, namespace: str, name: str) -> bool:
        """Return whether a Deployment has an available replica."""
        child = self.child(DEPLOYMENT, namespace, name)
        return child is not None and child.is_available

    def account_uid(self, namespace: str, name: str) -> str | None:
        """Return the uid of a gateway's ServiceAccount, which has the gateway's name and is applied before its Deployment."""
        account = self.child(ACCOUNT, namespace, name)
        return None if account is None else account.uid

    def cluster_ip(self, namespace: str, name: str) -> str | None:
        """Return the cluster IP of a Service; None when there is no such Service, or it has none yet."""
        service = self.view(Service, namespace, name)
        return None if service is None else service.spec.cluster_ip or None

    def has(self, kind: Kind) -> bool:
        """Return whether there is any child of a kind."""
        return any(child_id.kind is kind for child_id in self.children)

    def children_of(self, key: Key) -> list[ChildId]:
        """Return the children whose labels name a service, or with an empty name those of the namespace's shared gateway."""
        found = self._of_service.get(key) if key.name else self._of_gateway.get(key.namespace)
        return sorted(found or (), key=lambda child_id: (child_id.kind.kind, child_id.name))

    # Pods

    def see_pod(self, item: Mapping[str, Any]) -> Pod | None:
        """Remember a pod. Return it when something about it is new."""
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
        """Forget a pod that is gone. Return it when it was known."""
        self._unindex_pod((namespace, name))
        self._pod_versions.pop((namespace, name), None)
        return self.pods.pop((namespace, name), None)

    def pods_of(self, namespace: str, label: str, value: str) -> list[Pod]:
        """Return the pods of a namespace with a label of Hearth's, by name."""
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
    """Return the state of a Deployment by its managed fields."""
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
