"""Planner of LLMServices: what is planned is kept until the service or a runtime changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hearth.api import HearthError, InferenceRuntime
from hearth.operator.cache import Cache
from hearth.operator.fingerprint import digest
from hearth.operator.service_entry import ServiceEntry
from hearth.planning import Plan, PlanOptions, available_runtimes, identity, make_plan
from hearth.planning.names import Identity
from hearth.plugins import VendorHost


class Planner:
    """Maker of plans, each of which it keeps as long as neither the service nor a runtime changes."""

    def __init__(self, host: VendorHost, options: PlanOptions, cache: Cache) -> None:
        self._host = host
        self._cache = cache
        self.options = options
        self._runtimes: tuple[int, Sequence[InferenceRuntime]] | None = None

    def plan(self, entry: ServiceEntry) -> None:
        """Bring the plan of an entry up to date. A spec that cannot be planned leaves the last plan as it is."""
        before, epoch = entry.planned, self._cache.epoch
        if (before.generation, before.epoch) == (entry.generation, epoch):
            return
        # Before planning, so that a bug in planning fails once, and does not block every service of the namespace.
        entry.planned = before = replace(before, generation=entry.generation, epoch=epoch)
        plan, wanted = before.plan, before.wanted
        error: HearthError | None = entry.error
        if error is None:
            try:
                plan = make_plan(
                    entry.service,
                    runtimes=self._available(),
                    host=self._host,
                    target="cluster",
                    options=self.options,
                    invalid=self._cache.invalid,
                )
            except HearthError as exc:
                error = exc
            else:
                wanted = {identity(item): digest(item) for item in plan.objects}
        token = _token(entry, plan, wanted, error)
        entry.planned = replace(before, plan=plan, error=error, wanted=wanted, token=token)

    def _available(self) -> Sequence[InferenceRuntime]:
        cache = self._cache
        if self._runtimes is None or self._runtimes[0] != cache.epoch:
            runtimes = available_runtimes(tuple(cache.runtimes.values()), self._host, invalid=cache.invalid)
            self._runtimes = cache.epoch, runtimes
        return self._runtimes[1]


def _token(
    entry: ServiceEntry, plan: Plan | None, wanted: Mapping[Identity, bytes], error: HearthError | None
) -> bytes:
    failure = None if error is None else str(error)
    digests = [[*name, value.hex()] for name, value in wanted.items()]
    said = (plan.gateway, plan.warnings) if plan else None
    return digest((entry.uid, entry.generation, failure, digests, said))
