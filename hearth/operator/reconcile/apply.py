"""Applier of single objects, by server-side apply. Nothing that is not Hearth's is ever touched."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from hearth.operator.cache import INIT_MANAGER, Cache, Child, ChildId, Key, claims_of
from hearth.operator.fingerprint import is_backend
from hearth.operator.kubernetes.client import MANAGER, Api
from hearth.operator.kubernetes.errors import BeingDeleted, Conflict, Invalid, NameTaken, NotFound
from hearth.operator.kubernetes.kinds import DEPLOYMENT, Kind, kind_of
from hearth.operator.metrics import Metrics
from hearth.operator.objects import Claim, Deployment, Job, read_managers, read_metadata
from hearth.planning import CREATED_ONCE, GATEWAY_LABEL, SERVICE_LABEL, TEMPLATE_ANNOTATION

logger = logging.getLogger(__name__)

_NO_SUCH_VERSION = "1"
"""A resource version that no object has. An apply with it creates an object, or fails when there is one already."""

Object = Mapping[str, Any]


class Applier:
    """Applies planned objects, skipping what is known to be there already."""

    def __init__(self, api: Api, cache: Cache, metrics: Metrics) -> None:
        self._api = api
        self._cache = cache
        self._metrics = metrics

    async def apply(self, item: Object, wanted: bytes, *, owner: str | None, replicas: int = 0) -> Child:
        """Apply an object. `owner` is the uid of its LLMService, None for the objects of a namespace.

        `replicas` is what a new Deployment of backends starts with. Raises ApiError, NameTaken, BeingDeleted.
        """
        kind = kind_of(item)
        metadata = item["metadata"]
        child = self._cache.child(kind, metadata["namespace"], metadata["name"])
        if child is not None:
            self._check_owner(kind, metadata, child.owner, child.service, child.gateway, owner)
            if child.deleting:
                raise _being_deleted(kind, metadata)
        if item["kind"] in CREATED_ONCE:
            return await self._create_once(kind, item, wanted, child, owner)
        if child is not None and child.is_as_wanted(wanted):
            return child
        if child is not None:
            try:
                return await self._update(kind, item, wanted, child)
            except (Conflict, NotFound):
                if await self._is_there(kind, metadata, child):
                    raise
        child = await self._first(kind, item, wanted, owner, replicas)
        return await self._update(kind, item, wanted, child)

    async def delete(self, child_id: ChildId) -> None:
        """Delete an object, unless that was done already."""
        child = self._cache.children.get(child_id)
        if child is None or child.deleting:
            return
        logger.info("Deleting %s %s/%s", child_id.kind.kind, child_id.namespace, child_id.name)
        await self._api.delete(child_id.kind, child_id.namespace, child_id.name, uid=child.uid)
        self._metrics.applied(child_id.kind.kind, "delete")

    async def _first(self, kind: Kind, item: Object, wanted: bytes, owner: str | None, replicas: int) -> Child:
        """Create an object that is not in the cache, or take over one that is Hearth's own after all.

        `hearth-init` creates a Deployment of backends, with the replicas to start with: applied without replicas it would
        start one, and a `hearth-operator` that owned them would reset what the autoscaler sets. `hearth-operator` takes over
        at the first change (`created` in `cache.Claims`); most Deployments see none for long, and cost one write.
        """
        metadata = {**item["metadata"], "resourceVersion": _NO_SUCH_VERSION}
        body, manager = {**item, "metadata": metadata}, MANAGER
        if kind is DEPLOYMENT and is_backend(item):
            body["spec"] = {**item["spec"], "replicas": replicas}
            manager = INIT_MANAGER
        try:
            answer = await self._api.apply(kind, body, manager=manager, force=False)
        except Conflict:
            answer = await self._api.get(kind, metadata["namespace"], metadata["name"])
            self._check_live(kind, answer, owner)
            logger.info("Taking over %s %s/%s", kind.kind, metadata["namespace"], metadata["name"])
            return self._cache.applied(kind, answer, b"")
        self._metrics.applied(kind.kind, "create")
        return self._cache.applied(kind, answer, wanted)

    async def _update(self, kind: Kind, item: Object, wanted: bytes, child: Child) -> Child:
        if child.wanted != wanted or child.seen != child.live:
            if child.claims == "created":
                await self._hand_over(kind, item["metadata"], child)
            body = {**item, "metadata": {**item["metadata"], "uid": child.uid}}
            answer = await self._api.apply(kind, body, manager=MANAGER, force=True)
            self._metrics.applied(kind.kind, "apply")
            child = self._cache.applied(kind, answer, wanted)
        return await self._release(item, child, wanted) if child.claims == "kept" else child

    async def _hand_over(self, kind: Kind, metadata: Object, child: Child) -> None:
        """Make `hearth-operator` the owner of all that `hearth-init` applied, but for the replicas.

        The apply that follows then also removes what it leaves out: a template that changed twice would start pods twice.
        Where the hand-over fails, or the process ends before it, the Deployment becomes `kept`, and `_release` follows.
        """
        live = await self._api.get(kind, metadata["namespace"], metadata["name"])
        entries = live["metadata"].get("managedFields") or ()
        if live["metadata"]["uid"] != child.uid or claims_of(read_managers(live)) != "created":
            return
        index, first = next(each for each in enumerate(entries) if each[1].get("manager") == INIT_MANAGER)
        fields = first["fieldsV1"]
        rest = {key: value for key, value in fields.get("f:spec", {}).items() if key != "f:replicas"}
        place = f"/metadata/managedFields/{index}"
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/uid", "value": child.uid},
            {"op": "test", "path": f"{place}/manager", "value": INIT_MANAGER},
            {
                "op": "replace",
                "path": place,
                "value": {**first, "manager": MANAGER, "fieldsV1": {**fields, "f:spec": rest}},
            },
        ]
        if "f:replicas" in fields.get("f:spec", {}):  # not any more once the autoscaler has changed them
            replicas = {**first, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
            operations.append({"op": "add", "path": "/metadata/managedFields/-", "value": replicas})
        try:
            answer = await self._api.patch(kind, metadata["namespace"], metadata["name"], operations, manager=MANAGER)
        except (Conflict, Invalid):
            return
        self._metrics.applied(kind.kind, "hand-over")
        self._cache.see_child(kind, answer)

    async def _is_there(self, kind: Kind, metadata: Object, child: Child) -> bool:
        """Return whether the API server still has a child, and drop one that it has not from the cache.

        An apply to an object that was deleted is answered like one to an object that was changed, 409: its uid is that of none.
        """
        child_id = ChildId(kind, metadata["namespace"], metadata["name"])
        try:
            live = await self._api.get(*child_id)
        except NotFound:
            pass
        else:
            if live["metadata"]["uid"] == child.uid:
                return True
        logger.info(
            "%s %s/%s was deleted but no watch event arrived; dropping it from the cache",
            kind.kind,
            child_id.namespace,
            child_id.name,
        )
        self._cache.forget_child(child_id, uid=child.uid)
        return False

    async def _release(self, item: Object, child: Child, wanted: bytes) -> Child:
        """Let `hearth-init` own the replicas only: other fields of its would survive when a plan drops them."""
        metadata = item["metadata"]
        replicas = child.view.spec.replicas if isinstance(child.view, Deployment) else 0
        body = {
            "apiVersion": item["apiVersion"],
            "kind": item["kind"],
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": child.uid},
            "spec": {"replicas": replicas},
        }
        answer = await self._api.apply(DEPLOYMENT, body, manager=INIT_MANAGER, force=False)
        self._metrics.applied(DEPLOYMENT.kind, "release")
        return self._cache.applied(DEPLOYMENT, answer, wanted)

    async def _create_once(
        self, kind: Kind, item: Object, wanted: bytes, child: Child | None, owner: str | None
    ) -> Child:
        metadata = item["metadata"]
        if child is not None:
            template = (metadata.get("annotations") or {}).get(TEMPLATE_ANNOTATION)
            have = (
                child.view.metadata.annotations.get(TEMPLATE_ANNOTATION)
                if isinstance(child.view, Job | Claim)
                else None
            )
            if template is not None and template != have:
                await self.delete(ChildId(kind, metadata["namespace"], metadata["name"]))
                raise _being_deleted(kind, metadata)
            return child
        try:
            answer = await self._api.create(kind, item, manager=MANAGER)
        except Conflict:
            answer = await self._api.get(kind, metadata["namespace"], metadata["name"])
            self._check_live(kind, answer, owner)
            return await self._create_once(kind, item, wanted, self._cache.applied(kind, answer, wanted), owner)
        self._metrics.applied(kind.kind, "create")
        return self._cache.applied(kind, answer, wanted)

    def _check_live(self, kind: Kind, live: Object, owner: str | None) -> None:
        """Raise NameTaken or BeingDeleted unless a live object is one that Hearth may write."""
        known = read_metadata(live)
        has, metadata = known.controller, live["metadata"]
        if not known.is_hearths and not (owner is not None and has == owner) and not _was_applied(live):
            raise NameTaken(
                "NameTaken",
                f"{kind.kind} {metadata['name']!r} exists in {metadata['namespace']!r} and is not Hearth's",
                "delete or rename it, or give the LLMService another name",
            )
        labels = known.labels
        self._check_owner(kind, metadata, has, labels.get(SERVICE_LABEL, ""), labels.get(GATEWAY_LABEL, ""), owner)
        if known.deletion_timestamp:
            raise _being_deleted(kind, metadata)

    def _check_owner(
        self, kind: Kind, metadata: Object, has: str | None, service: str, gateway: str, owner: str | None
    ) -> None:
        if has == owner:
            return
        what = f"{kind.kind} {metadata['name']!r} in {metadata['namespace']!r}"
        if has is None and owner is not None and service and not gateway:
            return  # left over by `kubectl delete --cascade=orphan`: the service of the label may have it back
        holder = self._cache.services.get(Key(metadata["namespace"], service))
        if has is not None and (holder is None or holder.uid != has):
            raise BeingDeleted("BeingDeleted", f"{what} is left over from an LLMService that was deleted")
        raise NameTaken(
            "NameTaken",
            f"{what} belongs to LLMService {service!r}" if service else f"{what} belongs to the namespace's gateway",
            "choose another name; clients can use any other one listed in spec.endpoint.aliases",
        )


def _was_applied(live: Object) -> bool:
    """Return whether the operator applied an object whose label somebody removed."""
    return any(each.manager == MANAGER and each.operation == "Apply" for each in read_managers(live))


def _being_deleted(kind: Kind, metadata: Object) -> BeingDeleted:
    return BeingDeleted(
        "BeingDeleted", f"{kind.kind} {metadata['name']!r} in {metadata['namespace']!r} is being deleted"
    )
