"""The hand-over: after SIGTERM a replica leaves without losing a request, and without a model falling asleep.

1. Drain: `/readyz` turns 503, and every response from here on closes its connection. Everything else goes on: clients that
   still come are served, backends are watched and probed, the other replicas receive the demand of this one.
2. Settle, for `SETTLE` seconds: load balancers learn late that this replica is leaving. A client that was turned away would
   come straight back.
3. Turn: idle connections are closed, KEDA's streams end with OK and its connection gets a GOAWAY, so that it calls a
   replica that is ready. The other replicas, which call by address, find a second server on the same port.
4. Finish: what is held or in flight is answered, until the grace period ends or a second signal comes.
5. Hand over: what remains of the activation leases goes to the other replicas with the goodbye. They keep those models
   awake for the clients that were sent away.

When the services or the whole namespace were deleted, no backend will come: waiting clients are refused, and nothing
settles. Kubernetes looks at a namespace that is being deleted after 5 s, and where it still finds pods, again after half
of their grace period.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from hearth_gateway.cluster.api_client import ApiClient
from hearth_gateway.gateway import Gateway
from hearth_gateway.policy.service import LEASE_GRACE

SETTLE = 3.0
"""Seconds during which a replica that leaves turns nobody away."""

NAMESPACE_INTERVAL = 5.0
"""Seconds between two looks at whether the namespace is being deleted."""

LEAVING_INTERVAL = 0.02
"""Seconds between two looks at what is still to be answered."""


class Leases:
    """The activation leases that pass from a replica that leaves to the others."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._handed_over: dict[str, float] = {}  # until when the others are to keep a service awake

    def hand_over(self) -> None:
        """Leave the leases to the others; clients whose requests are cut off may come again, too."""
        now = self._gateway.now()
        for name, service in self._gateway.services.items():
            seconds = max(service.lease_left(), LEASE_GRACE if service.held or service.in_flight else 0.0)
            if seconds > 0:
                self._handed_over[name] = now + seconds

    def handed_over(self) -> dict[str, float]:
        """Return the seconds that remain of each lease that was handed over."""
        now = self._gateway.now()
        return {name: until - now for name, until in self._handed_over.items() if until > now}

    def take_over(self, leases: Mapping[str, float]) -> None:
        """Keep the models awake that another replica leaves to this one."""
        for name, seconds in leases.items():
            service = self._gateway.services.get(name)
            if service is not None:
                service.take_lease(seconds)


class HandOver:
    """The steps of one replica's end. `turn` sends KEDA elsewhere; no backend will come after `services_deleted`."""

    def __init__(
        self,
        gateway: Gateway,
        client: ApiClient,
        leases: Leases,
        *,
        turn: Callable[[], Awaitable[None]],
        services_deleted: Callable[[], bool],
        settle: float = SETTLE,
    ) -> None:
        self._gateway = gateway
        self._client = client
        self._leases = leases
        self._turn = turn
        self._services_deleted = services_deleted
        self._settle_seconds = settle
        self._namespace_deleted = False

    async def run(self, grace: float, cut: asyncio.Event) -> None:
        """Leave within `grace` seconds, or as soon as `cut` is set."""
        watching = asyncio.create_task(self._watch_namespace())
        end = self._gateway.now() + grace
        self._gateway.drain()
        await self._settle(end, cut)
        self._gateway.close_idle()
        await self._turn()
        await self._finish(end, cut)
        watching.cancel()
        self._leases.hand_over()

    async def _settle(self, end: float, cut: asyncio.Event) -> None:
        settled = min(end, self._gateway.now() + self._settle_seconds)
        while self._gateway.now() < settled and not (cut.is_set() or self._is_deleted()):
            await asyncio.sleep(LEAVING_INTERVAL)

    async def _finish(self, end: float, cut: asyncio.Event) -> None:
        given_up = False
        while self._gateway.now() < end and not cut.is_set():
            if self._is_deleted():
                self._gateway.give_up()
                given_up = True
            elif given_up:  # somebody applied the ConfigMap again
                self._gateway.hold_again()
                given_up = False
            if not self._gateway.busy:
                return
            await asyncio.sleep(LEAVING_INTERVAL)

    async def _watch_namespace(self) -> None:
        while not self._namespace_deleted:
            self._namespace_deleted = await self._client.is_namespace_deleted()
            await asyncio.sleep(NAMESPACE_INTERVAL)

    def _is_deleted(self) -> bool:
        return self._namespace_deleted or self._services_deleted()
