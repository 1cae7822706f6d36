"""Reconciler of LLMServices: the objects of one service are applied, and its status tells how they are.

Every call starts from what is true now, so it does not matter which event led to it, or how often.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hearth.api import API_VERSION, HearthError, LLMService
from hearth.operator.cache import Cache, Key
from hearth.operator.diagnosis.prewarm import prewarm_nodes
from hearth.operator.fingerprint import digest
from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.client import MANAGER, Api
from hearth.operator.kubernetes.errors import BeingDeleted, NamespaceGoing, NotFound, NotServed, OperatorError
from hearth.operator.kubernetes.event_recorder import EventRecorder
from hearth.operator.kubernetes.kinds import CLAIM, JOB, LLM_SERVICE, SCALED_OBJECT, kind_of
from hearth.operator.metrics import Metrics
from hearth.operator.planner import Planner
from hearth.operator.reconcile.apply import Applier
from hearth.operator.reconcile.failure import lasting, retry_later
from hearth.operator.reconcile.namespace import NamespaceState
from hearth.operator.reconcile.rejected_pods import RejectedPods
from hearth.operator.service_entry import Planned, ServiceEntry
from hearth.operator.status.events import status_events
from hearth.operator.status.notice import waiting_notice
from hearth.operator.status.observer import Observer
from hearth.operator.status.service_status import service_status, unreadable_status
from hearth.operator.work_queue import WorkQueue
from hearth.planning import LiveValues, Plan, bind, gateway_name, gateway_service_name, identity

NOTICE_DELAY = 0.1
"""Seconds in which notices for waiting clients are gathered before the gateway's ConfigMap is written."""

NODES_PACE = 60.0
"""Seconds between two looks for a node that a download may run on. Nodes are not watched: there is no other use for it."""


class ServiceReconciler:
    """Applies the plan of one LLMService, and writes its status, its Events and its notice for clients that wait.

    `namespaces` is what came out of planning the services of each namespace together.
    """

    def __init__(
        self,
        api: Api,
        cache: Cache,
        queue: WorkQueue[Key],
        planner: Planner,
        applier: Applier,
        observer: Observer,
        recorder: EventRecorder,
        keda: KedaAvailability,
        metrics: Metrics,
        namespaces: Mapping[str, NamespaceState],
    ) -> None:
        self._api = api
        self._cache = cache
        self._queue = queue
        self._planner = planner
        self._applier = applier
        self._observer = observer
        self._recorder = recorder
        self._keda = keda
        self._metrics = metrics
        self._rejected_pods = RejectedPods(api, cache, recorder, metrics)
        self._namespaces = namespaces

    async def reconcile(self, key: Key) -> None:
        """Reconcile a service. Raises OperatorError when it is to be tried again."""
        try:
            live = await self._api.get(LLM_SERVICE, key.namespace, key.name)
        except NotFound:
            self._forget(key)
            return
        entry, _ = self._cache.see_service(live)
        self._planner.plan(entry)
        planned, state = entry.planned, self._namespaces.get(key.namespace)
        if entry.deleting or state is None or state.admitted.get(key.name) != planned.token:
            self._queue.add(Key(key.namespace), urgent=True)  # which adds this key again, if there is something to do
            return
        error = planned.error or state.refused.get(key.name)
        failure: OperatorError | None = None
        if error is None and planned.plan is not None:
            try:
                await self._apply(entry, planned.plan, planned)
            except NamespaceGoing:
                return
            except OperatorError as exc:
                failure, error = exc, lasting(exc, self._queue, key)
        if error is None and entry.service.spec.endpoint.gateway == "shared":
            error = state.error
        if (entry.planned.token, entry.generation) == (planned.token, planned.generation):
            # Otherwise the spec changed meanwhile: its namespace plans it, and adds this key again.
            await self._report(entry, live, error, state)
            await self._rejected_pods.delete(entry)
        if failure is not None:
            retry_later(failure, self._queue, key)

    def _forget(self, key: Key) -> None:
        if self._cache.forget_service(key):
            self._queue.add(Key(key.namespace), urgent=True)
        self._metrics.forget(key.namespace, key.name)

    # --- objects ----------------------------------------------------------------------------------------------------------

    async def _apply(self, entry: ServiceEntry, plan: Plan, planned: Planned) -> None:
        """Apply a plan and delete what it leaves out. The entry may be planned again before this ends."""
        going: BeingDeleted | None = None
        for item in plan.objects:
            live = await self._live_values(entry, plan, item)
            if live is None:
                continue
            bound = bind(item, live)
            wanted = planned.wanted[identity(item)] if bound is item else digest(bound)
            try:
                await self._applier.apply(bound, wanted, owner=entry.uid, replicas=plan.scaling.min)
            except BeingDeleted as exc:
                going = exc  # a Job that is replaced, say; the others need not wait for it
            except NotServed:
                if kind_of(item) is not SCALED_OBJECT:
                    raise
                self._keda.update(served=False)
        await self._prune(entry, plan)
        if going is not None:
            raise going

    async def _prune(self, entry: ServiceEntry, plan: Plan) -> None:
        metadata, wanted = plan.service.metadata, {identity(item) for item in plan.objects}
        for child_id in self._cache.children_of(Key(metadata.namespace, metadata.name)):
            if child_id.kind is CLAIM:
                continue  # weights are for the service's life; a look at another cache must not cost them
            owned = self._cache.children[child_id].owner == entry.uid
            if owned and (child_id.kind.kind, child_id.name) not in wanted:
                await self._applier.delete(child_id)

    async def _live_values(self, entry: ServiceEntry, plan: Plan, item: Mapping[str, Any]) -> LiveValues | None:
        """Return the live values for one object of a plan; None for an object that must not be applied yet."""
        service, name = plan.service, item["metadata"]["name"]
        namespace, kind = service.metadata.namespace, kind_of(item)
        if kind is SCALED_OBJECT:
            address = self._cache.cluster_ip(namespace, gateway_service_name(service))
            return LiveValues(gateway_ip=address) if address is not None and self._may_scale(service) else None
        if kind is JOB:
            hostnames = await self._hostnames(entry, plan, name)
            return None if hostnames is None else LiveValues(hostnames=hostnames)
        return LiveValues(
            account_uid=self._cache.account_uid(namespace, name),
            notices={service.metadata.name: entry.notice} if entry.notice else {},
        )

    async def _hostnames(self, entry: ServiceEntry, plan: Plan, job: str) -> tuple[str, ...] | None:
        """Return the nodes to which a new prewarm Job is kept, () for any.

        None, and another look later, while there are none.
        """
        metadata = entry.service.metadata
        if self._cache.child(JOB, metadata.namespace, job) is not None:
            return ()
        nodes = await self._observer.nodes()
        names = None if nodes is None else prewarm_nodes(plan, nodes, self._observer.claims(entry))
        if names is None:
            self._queue.add(Key(metadata.namespace, metadata.name), after=NODES_PACE)
        return names

    def _may_scale(self, service: LLMService) -> bool:
        """Return whether the ScaledObject may be applied: KEDA backs off for minutes from a gateway that is not there."""
        if not self._keda.served:
            return False
        metadata = service.metadata
        if self._cache.child(SCALED_OBJECT, metadata.namespace, metadata.name) is not None:
            return True
        return self._cache.is_available(metadata.namespace, gateway_name(service))

    # --- status -----------------------------------------------------------------------------------------------------------

    async def _report(
        self, entry: ServiceEntry, live: Mapping[str, Any], error: HearthError | None, state: NamespaceState
    ) -> None:
        """Write the status when it changed, record Events of the change, and pass on the notice for clients that wait."""
        metadata = entry.service.metadata
        if entry.error is not None:
            status = unreadable_status(live, entry.error, datetime.now(UTC))
        else:
            observed = await self._observer.observe(entry, error, state.warnings.get(metadata.name, ()))
            status = service_status(observed)
            self._notify(entry, waiting_notice(observed))
        self._metrics.status(metadata.namespace, metadata.name, status)
        old = live.get("status") or {}
        if status != old and await self._write(entry, status):
            for draft in status_events(old, status):
                await self._recorder.record(entry.service, draft, datetime.now(UTC))

    async def _write(self, entry: ServiceEntry, status: Mapping[str, Any]) -> bool:
        """Write the status. Return whether the service is still there."""
        metadata = entry.service.metadata
        body = {
            "apiVersion": API_VERSION,
            "kind": "LLMService",
            "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": entry.uid},
            "status": status,
        }
        try:
            answer = await self._api.apply(LLM_SERVICE, body, manager=MANAGER, force=True, subresource="status")
        except NotFound:
            return False
        self._metrics.applied("LLMService", "status")
        _, changed = self._cache.see_service(answer)
        if changed:  # the spec too, since it was read; the watch, which comes after this, has nothing new to tell
            self._queue.add(Key(metadata.namespace), urgent=True)
        return True

    def _notify(self, entry: ServiceEntry, notice: str | None) -> None:
        """Queue the gateway of a service when its clients are to be told something else from now on."""
        if notice == entry.notice:
            return
        entry.notice = notice
        metadata = entry.service.metadata
        dedicated = entry.service.spec.endpoint.gateway == "dedicated"
        self._queue.add(Key(metadata.namespace, metadata.name if dedicated else ""), after=NOTICE_DELAY)
