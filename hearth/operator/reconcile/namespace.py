"""Reconciler of namespaces: what the services of a namespace share is planned and applied together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hearth.api import HearthError
from hearth.operator.cache import Cache, Key
from hearth.operator.fingerprint import digest
from hearth.operator.kubernetes.client import Api
from hearth.operator.kubernetes.errors import NamespaceGoing, NotFound, OperatorError
from hearth.operator.kubernetes.kinds import CONFIG_MAP
from hearth.operator.planner import Planner
from hearth.operator.reconcile.apply import Applier
from hearth.operator.reconcile.failure import lasting, retry_later
from hearth.operator.service_entry import ServiceEntry
from hearth.operator.work_queue import WorkQueue
from hearth.planning import (
    SHARED_GATEWAY,
    LiveValues,
    NamespacePlan,
    PlanningError,
    bind,
    gateway_entries,
    identity,
    plan_namespace,
)

SHORTEST_PACE = 0.02
"""Seconds between two reconciles of a namespace, at least."""

RELATIVE_PACE = 4.0
"""Times as long as the last reconcile took, until the next one of a namespace with more than `FEW` services: while a
thousand services come in, most of the time is for them."""

FEW = 20
"""Services of a namespace that are planned together in no time."""

BATCH = 10
"""Services that are planned in a row, before others have their turn on the event loop."""


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """Result of planning the services of a namespace together.

    `admitted` has the token of every service as it was planned; `refused` is why one cannot be served beside the others.
    `error` is why the shared gateway could not be applied, `address` the cluster IP of its Service, and `available`
    whether it has an available replica.
    """

    admitted: Mapping[str, bytes] = field(default_factory=dict)
    refused: Mapping[str, PlanningError] = field(default_factory=dict)
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    error: HearthError | None = None
    address: str | None = None
    available: bool = False


class NamespaceReconciler:
    """Plans and applies the shared gateway of a namespace, and queues the services that this concerns.

    `clock` gives seconds.
    """

    def __init__(
        self,
        api: Api,
        cache: Cache,
        queue: WorkQueue[Key],
        planner: Planner,
        applier: Applier,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._cache = cache
        self._queue = queue
        self._planner = planner
        self._applier = applier
        self._clock = clock
        self._next_at: dict[str, float] = {}
        self.states: dict[str, NamespaceState] = {}
        """What came out of each namespace; a service waits until its own is here."""

    async def reconcile(self, key: Key) -> bool:
        """Reconcile a namespace. Raises OperatorError when it is to be tried again.

        Returns False when it is too early, which says nothing about the namespace.
        """
        namespace = key.namespace
        if self._is_early(key):
            return False
        began = self._clock()
        before = replace(self.states.get(namespace, NamespaceState()), available=self._is_available(namespace))
        entries = [entry for entry in self._cache.services_in(namespace) if not entry.deleting]
        shared = await self._plan(namespace, entries)
        admitted = {entry.service.metadata.name: entry.planned.token for entry in entries}
        self.states[namespace] = replace(before, admitted=admitted, refused=shared.refused, warnings=shared.warnings)
        failure: OperatorError | None = None
        try:
            failure = await self._apply(key, shared, entries)
        finally:
            self._settle(key, before, failure)
            self._set_pace(key, len(entries), self._clock() - began)
        if failure is not None:
            retry_later(failure, self._queue, key)
        return True

    async def _plan(self, namespace: str, entries: Sequence[ServiceEntry]) -> NamespacePlan:
        for number, entry in enumerate(entries, start=1):
            self._planner.plan(entry)
            if number % BATCH == 0:
                await asyncio.sleep(0)
        plans = [entry.planned.plan for entry in entries if entry.planned.plan is not None]
        return plan_namespace(
            namespace, plans, self._planner.options, kept=await self._kept_entries(namespace, entries)
        )

    async def _kept_entries(self, namespace: str, entries: Sequence[ServiceEntry]) -> tuple[Mapping[str, Any], ...]:
        """Return what the shared gateway knows of services that cannot be planned now, and once could.

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

    async def _apply(self, key: Key, shared: NamespacePlan, entries: Sequence[ServiceEntry]) -> OperatorError | None:
        """Apply what is shared, and delete what no longer is. Return why that failed."""
        notices = {entry.service.metadata.name: entry.notice for entry in entries if entry.notice}
        try:
            for item in shared.objects:
                live = LiveValues(self._cache.account_uid(key.namespace, SHARED_GATEWAY), notices=notices)
                bound = bind(item, live)
                await self._applier.apply(bound, digest(bound), owner=None)
            await self._prune(key, {identity(item) for item in shared.objects})
        except NamespaceGoing:
            return None
        except OperatorError as exc:
            return exc
        return None

    async def _prune(self, key: Key, wanted: set[tuple[str, str]]) -> None:
        for child_id in self._cache.children_of(key):
            if (child_id.kind.kind, child_id.name) not in wanted and self._cache.children[child_id].owner is None:
                await self._applier.delete(child_id)

    def _settle(self, key: Key, before: NamespaceState, failure: OperatorError | None) -> None:
        """Record how the gateway is, and queue the services for which anything differs from `before`.

        Only now: a service that is reconciled while its gateway is applied would report that all is well.
        """
        namespace = key.namespace
        after = self.states[namespace] = replace(
            self.states[namespace],
            error=lasting(failure, self._queue, key) if failure is not None else None,
            address=self._cache.cluster_ip(namespace, SHARED_GATEWAY),
            available=self._is_available(namespace),
        )
        for name in sorted(set(_changed(before, after))):
            self._queue.add(Key(namespace, name))
        if not after.admitted and not self._cache.children_of(key):
            del self.states[namespace]

    def _is_available(self, namespace: str) -> bool:
        return self._cache.is_available(namespace, SHARED_GATEWAY)

    def _is_early(self, key: Key) -> bool:
        early = self._next_at.get(key.namespace, 0.0) - self._clock()
        if early > 0:
            self._queue.add(key, after=early, urgent=True)
        return early > 0

    def _set_pace(self, key: Key, services: int, took: float) -> None:
        if key.namespace in self.states:
            pace = max(SHORTEST_PACE, RELATIVE_PACE * took if services > FEW else 0.0)
            self._next_at[key.namespace] = self._clock() + pace
        else:
            self._next_at.pop(key.namespace, None)


def _changed(before: NamespaceState, after: NamespaceState) -> Iterator[str]:
    """Yield the services for which two states of a namespace differ."""
    if _gateway(before) != _gateway(after):
        yield from after.admitted
        return
    for name, token in after.admitted.items():
        if _result(before, name) != _result(after, name) or before.admitted.get(name) != token:
            yield name


def _gateway(state: NamespaceState) -> tuple[str, str | None, bool]:
    return str(state.error), state.address, state.available


def _result(state: NamespaceState, name: str) -> tuple[str, tuple[str, ...] | None]:
    return str(state.refused.get(name)), state.warnings.get(name)
