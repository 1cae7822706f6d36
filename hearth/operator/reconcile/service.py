"""Reconciling: what is wanted of a service, or of what the services of a namespace share, is brought about.

Every call starts from what is true now, so it does not matter which event led to it, or how often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hearth.api import API_VERSION, HearthError, LLMService
from hearth.operator.cache import MANAGER, Cache, Key
from hearth.operator.diagnosis.prewarm import prewarm_nodes
from hearth.operator.fingerprint import digest
from hearth.operator.kubernetes.client import Api
from hearth.operator.kubernetes.errors import BeingDeleted, NamespaceGoing, NotFound, NotServed, OperatorError
from hearth.operator.kubernetes.event_recorder import EventRecorder
from hearth.operator.kubernetes.kinds import (
    ACCOUNT,
    CLAIM,
    CONFIG_MAP,
    JOB,
    LLM_SERVICE,
    SCALED_OBJECT,
    kind_of,
)
from hearth.operator.metrics import Metrics
from hearth.operator.objects import Service
from hearth.operator.planner import Planner, ServiceEntry
from hearth.operator.reconcile.apply import Applier
from hearth.operator.status.events import status_events
from hearth.operator.status.notice import waiting_notice
from hearth.operator.status.observer import Observer
from hearth.operator.status.service_status import service_status, unreadable_status
from hearth.operator.work_queue import WorkQueue
from hearth.planning import (
    SHARED_GATEWAY,
    LiveValues,
    Plan,
    PlanningError,
    bind,
    gateway_entries,
    gateway_name,
    gateway_service_name,
    identity,
    plan_namespace,
)
from hearth.planning.names import Identity

logger = logging.getLogger(__name__)

NOTICE_DELAY = 0.1
"""Seconds in which notices for waiting clients are gathered before the gateway's ConfigMap is written."""

STUMBLES = 4
"""Failures in a row of one key during which the status passes over what the next try mostly mends: some four seconds."""

LOOK_AGAIN = 60.0
"""Seconds until another try at what only somebody can put right. No watch tells that they have: an object in the way
has no label of Hearth's, and what an admission webhook refuses is decided elsewhere. It counts as no failure."""

SHARED_PACE = 4.0
"""A namespace is not planned again before this many times as long have passed as the last time took: while a thousand
services come in, most of the time is for them."""

SHORTEST_PACE = 0.02

NODES_PACE = 60.0
"""Seconds between two looks for a node that a download may run on. Nodes are not watched: there is no other use for it."""


@dataclass(slots=True)
class NamespaceState:
    """What came out of planning the services of a namespace together.

    `admitted` has the token of every service as it was planned; `error` is why the gateway could not be applied;
    `address` is the cluster IP of its Service.
    """

    admitted: dict[str, bytes] = field(default_factory=dict)
    refused: Mapping[str, PlanningError] = field(default_factory=dict)
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    error: HearthError | None = None
    address: str | None = None
    next_at: float = 0.0


class Reconciler:
    """Does the work for the keys of the queue."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        queue: WorkQueue[Key],
        planner: Planner,
        observer: Observer,
        recorder: EventRecorder,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._cache = cache
        self._queue = queue
        self._planner = planner
        self._observer = observer
        self._recorder = recorder
        self._metrics = metrics
        self._clock = clock
        self._applier = Applier(api, cache, metrics)
        self._namespaces: dict[str, NamespaceState] = {}

    async def reconcile(self, key: Key) -> bool:
        """Work on one key. Raises OperatorError when it is to be tried again.

        Returns whether it was worked on: False for a namespace whose turn has not come, which says nothing about it.
        """
        if not key.name:
            return await self._namespace(key)
        await self._service(key)
        return True

    # One service

    async def _service(self, key: Key) -> None:
        try:
            live = await self._api.get(LLM_SERVICE, key.namespace, key.name)
        except NotFound:
            if self._cache.forget_service(key):
                self._queue.add(Key(key.namespace), urgent=True)
            self._metrics.forget(key.namespace, key.name)
            return
        entry, _ = self._cache.see_service(live)
        self._plan(entry)
        planned = entry.planned
        state = self._namespaces.get(key.namespace)
        if entry.deleting or state is None or state.admitted.get(key.name) != planned.token:
            self._queue.add(Key(key.namespace), urgent=True)  # which adds this key again, if there is something to do
            return
        error = planned.error or state.refused.get(key.name)
        failed: OperatorError | None = None
        if error is None and planned.plan is not None:
            try:
                await self._apply_all(entry, planned.plan, planned.wanted)
            except NamespaceGoing:
                return
            except OperatorError as exc:
                failed = exc
                error = self._to_tell(key, exc)
        if error is None and entry.service.spec.endpoint.gateway == "shared":
            error = state.error
        if (entry.planned.token, entry.generation) == (planned.token, planned.generation):
            # Else the spec was changed meanwhile: its namespace plans it, and adds this key again.
            await self._tell(entry, live, error, state)
        if failed is not None:
            if failed.retriable:
                raise failed
            self._queue.add(key, after=LOOK_AGAIN)

    def _plan(self, entry: ServiceEntry) -> None:
        self._planner.plan(entry, self._cache.runtimes, self._cache.invalid, self._cache.epoch)

    async def _apply_all(self, entry: ServiceEntry, plan: Plan, digests: Mapping[Identity, bytes]) -> None:
        """Apply a plan. The entry may have another one before this ends; it is not asked for what is wanted."""
        service = plan.service
        going: BeingDeleted | None = None
        for item in plan.objects:
            live = await self._live_values(entry, plan, item)
            if live is None:
                continue
            kind, bound = kind_of(item), bind(item, live)
            wanted = digests[identity(item)] if bound is item else digest(bound)
            try:
                await self._applier.apply(bound, wanted, owner=entry.uid, replicas=plan.scaling.min)
            except BeingDeleted as exc:
                going = exc  # a Job that is replaced, say; the others need not wait for it
            except NotServed:
                if kind is not SCALED_OBJECT:
                    raise
                self.keda_is(served=False)
        for child_id in self._cache.children_of(Key(service.metadata.namespace, service.metadata.name)):
            child = self._cache.children[child_id]
            if child_id.kind is CLAIM:
                continue  # weights are for the service's life; a look at another cache must not cost them
            if (child_id.kind.kind, child_id.name) not in digests and child.owner == entry.uid:
                await self._applier.delete(child_id)
        if going is not None:
            raise going

    async def _live_values(self, entry: ServiceEntry, plan: Plan, item: Mapping[str, Any]) -> LiveValues | None:
        """The live values for one object of a plan; None for an object that must not be applied yet."""
        service, name = plan.service, item["metadata"]["name"]
        kind = kind_of(item)
        if kind is SCALED_OBJECT:
            address = self._gateway_address(service.metadata.namespace, gateway_service_name(service))
            return LiveValues(gateway_ip=address) if address is not None and self._may_scale(service) else None
        if kind is JOB:
            hostnames = await self._hostnames(entry, plan, name)
            return None if hostnames is None else LiveValues(hostnames=hostnames)
        return LiveValues(
            account_uid=self._account_uid(service.metadata.namespace, name),
            notices={service.metadata.name: entry.notice} if entry.notice else {},
        )

    async def _hostnames(self, entry: ServiceEntry, plan: Plan, job: str) -> tuple[str, ...] | None:
        """The nodes to which a new prewarm Job is kept, () for any. None, and another look later, while there are none."""
        metadata = entry.service.metadata
        if self._cache.child(JOB, metadata.namespace, job) is not None:
            return ()
        nodes = await self._observer.nodes()
        names = None if nodes is None else prewarm_nodes(plan, nodes, self._observer.claims(entry))
        if names is None:
            self._queue.add(Key(metadata.namespace, metadata.name), after=NODES_PACE)
        return names

    def _may_scale(self, service: LLMService) -> bool:
        """Whether the ScaledObject may be applied: KEDA that finds nobody to ask backs off for minutes."""
        if not self._observer.keda:
            return False
        metadata = service.metadata
        if self._cache.child(SCALED_OBJECT, metadata.namespace, metadata.name) is not None:
            return True
        return self._cache.is_available(metadata.namespace, gateway_name(service))

    def _gateway_address(self, namespace: str, name: str) -> str | None:
        """The cluster IP of a gateway's Service; None when there is no such Service, or it has none yet."""
        service = self._cache.view(Service, namespace, name)
        return (service.spec.cluster_ip or None) if service is not None else None

    def _account_uid(self, namespace: str, name: str) -> str | None:
        """The uid of a gateway's ServiceAccount, which has the gateway's name and is applied before its Deployment."""
        account = self._cache.child(ACCOUNT, namespace, name)
        return None if account is None else account.uid

    async def _tell(
        self, entry: ServiceEntry, live: Mapping[str, Any], error: HearthError | None, state: NamespaceState
    ) -> None:
        """Write the status when it is another one, say so in Events, and tell the clients that wait."""
        metadata = entry.service.metadata
        if entry.error is not None:
            status = unreadable_status(live, entry.error, datetime.now(UTC))
        else:
            observed = await self._observer.observe(entry, error, state.warnings.get(metadata.name, ()))
            status = service_status(observed)
            self._notify(entry, waiting_notice(observed))
        self._metrics.status(metadata.namespace, metadata.name, status)
        old = live.get("status") or {}
        if status == old:
            return
        body = {
            "apiVersion": API_VERSION,
            "kind": "LLMService",
            "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": entry.uid},
            "status": status,
        }
        try:
            answer = await self._api.apply(LLM_SERVICE, body, manager=MANAGER, force=True, subresource="status")
        except NotFound:
            return
        self._metrics.applied("LLMService", "status")
        _, changed = self._cache.see_service(answer)
        if changed:  # the spec too, since it was read; the watch, which comes after this, has nothing new to tell
            self._queue.add(Key(metadata.namespace), urgent=True)
        for draft in status_events(old, status):
            await self._recorder.record(entry.service, draft, datetime.now(UTC))

    def _notify(self, entry: ServiceEntry, notice: str | None) -> None:
        """See to it that the gateway tells waiting clients something else from now on."""
        if notice == entry.notice:
            return
        entry.notice = notice
        metadata = entry.service.metadata
        dedicated = entry.service.spec.endpoint.gateway == "dedicated"
        self._queue.add(Key(metadata.namespace, metadata.name if dedicated else ""), after=NOTICE_DELAY)

    def _to_tell(self, key: Key, error: OperatorError) -> OperatorError | None:
        """The error, unless it is one that is likely to be over before anybody has read of it."""
        return None if error.passing and self._queue.failures(key) < STUMBLES else error

    # What the services of a namespace share

    async def _namespace(self, key: Key) -> bool:
        namespace = key.namespace
        state = self._namespaces.setdefault(namespace, NamespaceState())
        early = state.next_at - self._clock()
        if early > 0:
            self._queue.add(key, after=early, urgent=True)
            return False
        began = self._clock()
        entries = [entry for entry in self._cache.services_in(namespace) if not entry.deleting]
        for number, entry in enumerate(entries):
            self._plan(entry)
            if number % 10 == 9:
                await asyncio.sleep(0)
        admitted = {entry.service.metadata.name: entry.planned.token for entry in entries}
        plans = [entry.planned.plan for entry in entries if entry.planned.plan is not None]
        notices = {entry.service.metadata.name: entry.notice for entry in entries if entry.notice}
        kept = await self._kept(namespace, entries)
        shared = plan_namespace(namespace, plans, self._planner.options, kept=kept)
        changed = {name for name, token in admitted.items() if state.admitted.get(name) != token}
        changed |= {
            name
            for name in {*shared.refused, *state.refused} & admitted.keys()
            if str(shared.refused.get(name)) != str(state.refused.get(name))
        }
        changed |= {name for name in admitted if shared.warnings.get(name) != state.warnings.get(name)}
        state.admitted, state.refused, state.warnings = admitted, shared.refused, shared.warnings
        was_available = self._is_available(namespace)
        error: HearthError | None = None
        try:
            for item in shared.objects:
                live = LiveValues(account_uid=self._account_uid(namespace, SHARED_GATEWAY), notices=notices)
                bound = bind(item, live)
                await self._applier.apply(bound, digest(bound), owner=None)
            await self._prune(key, {identity(item) for item in shared.objects})
        except NamespaceGoing:
            pass
        except OperatorError as exc:
            error = self._to_tell(key, exc)
            if exc.retriable:
                raise
            self._queue.add(key, after=LOOK_AGAIN)
        finally:
            # Not before the end: a service that is looked at meanwhile would say that all is well with the gateway.
            address = self._gateway_address(namespace, SHARED_GATEWAY)
            available = self._is_available(namespace)  # an answer may have said so before the watch
            if (str(state.error), state.address, was_available) != (str(error), address, available):
                changed |= admitted.keys()
            state.error, state.address = error, address
            for name in sorted(changed):
                self._queue.add(Key(namespace, name))
            took = self._clock() - began
            state.next_at = self._clock() + max(SHORTEST_PACE, SHARED_PACE * took if len(entries) > 20 else 0.0)
            if not entries and not self._cache.children_of(key):
                self._namespaces.pop(namespace, None)
        return True

    def _is_available(self, namespace: str) -> bool:
        return self._cache.is_available(namespace, SHARED_GATEWAY)

    async def _kept(self, namespace: str, entries: Sequence[ServiceEntry]) -> tuple[Mapping[str, Any], ...]:
        """What the shared gateway knows of services that cannot be planned, and could be by an operator before this.

        Their replicas still run. Without this, an operator that starts without a vendor's plugin would cut off every
        service of that vendor.
        """
        unplanned = {entry.service.metadata.name for entry in entries if entry.planned.plan is None}
        if not unplanned:
            return ()
        try:
            config = await self._api.get(CONFIG_MAP, namespace, SHARED_GATEWAY)
        except NotFound:
            return ()
        return tuple(entry for entry in gateway_entries(config) if entry["name"] in unplanned)

    async def _prune(self, key: Key, wanted: set[tuple[str, str]]) -> None:
        for child_id in self._cache.children_of(key):
            if (child_id.kind.kind, child_id.name) not in wanted and self._cache.children[child_id].owner is None:
                await self._applier.delete(child_id)

    # KEDA

    def keda_is(self, *, served: bool) -> None:
        """Take note of whether ScaledObjects are served; on a change every service is looked at again."""
        if served == self._observer.keda:
            return
        self._observer.keda = served
        self._metrics.keda = int(served)
        if not served:
            for child_id in [child_id for child_id in self._cache.children if child_id.kind is SCALED_OBJECT]:
                self._cache.forget_child(child_id)
        logger.info("KEDA is %s", "there" if served else "not installed: models are not scaled")
        for key in self._cache.services:
            self._queue.add(key)
