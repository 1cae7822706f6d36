"""Leader election by a Lease: one of several replicas works. One that stops cleanly releases the Lease at once.

The official client's LeaseLock has no time-outs and never releases the Lease, so that a successor would wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hearth.operator.kubernetes.client import MANAGER, Api
from hearth.operator.kubernetes.errors import ApiError, Conflict, NotFound
from hearth.operator.kubernetes.kinds import LEASE

logger = logging.getLogger(__name__)

NAME = "hearth-operator"
"""Name of the Lease."""

DURATION = 15.0
"""Seconds without a renewal after which others may take the Lease."""

DEADLINE = 10.0
"""Seconds without a renewal after which the holder stops: before any other replica begins."""

PERIOD = 2.0
"""Seconds between two attempts."""


class LeaderElection:
    """Part of one replica in the election. The age of what others wrote is measured by our own clock, since it was first seen."""

    def __init__(self, api: Api, namespace: str, identity: str) -> None:
        self._api = api
        self._namespace = namespace
        self._identity = identity
        self._seen: tuple[str, float] | None = None

    async def acquire(self) -> None:
        """Wait until the Lease is ours. Failures of the API server are retried."""
        logger.info("Waiting for the lease %s/%s", self._namespace, NAME)
        while True:
            try:
                async with asyncio.timeout(DEADLINE):
                    if await self._try():
                        logger.info("Leading as %s", self._identity)
                        return
            except (ApiError, TimeoutError) as exc:
                logger.warning("Failed to acquire the lease: %s; retrying in %.0f s", _cause(exc), PERIOD)
            await asyncio.sleep(PERIOD)

    async def keep(self) -> None:
        """Renew the Lease until it is lost, then return."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(PERIOD)
            left = renewed + DEADLINE - loop.time()
            if left <= 0:
                logger.error("Failed to renew the lease for %.0f s; stopping", DEADLINE)
                return
            began = loop.time()
            try:
                async with asyncio.timeout(left):
                    if not await self._try():
                        logger.error("Lost the lease to another replica; stopping")
                        return
                renewed = began
            except (ApiError, TimeoutError) as exc:
                logger.warning("Failed to renew the lease: %s; retrying in %.0f s", _cause(exc), PERIOD)

    async def release(self) -> None:
        """Release the Lease, if it is still ours."""
        try:
            async with asyncio.timeout(PERIOD):
                lease = await self._api.get(LEASE, self._namespace, NAME)
                if lease["spec"].get("holderIdentity") != self._identity:
                    return
                spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                await self._api.replace(LEASE, {**lease, "spec": spec}, manager=MANAGER)
                logger.info("Released the lease")
        except NotFound:
            return
        except (ApiError, TimeoutError) as exc:
            logger.warning(
                "Failed to release the lease: %s; another replica waits %.0f s for it", _cause(exc), DURATION
            )

    async def _try(self) -> bool:
        """Take or renew the Lease. Return whether it is ours."""
        try:
            lease = await self._api.get(LEASE, self._namespace, NAME)
        except NotFound:
            return await self._create()
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._expired(lease):
            return False
        fresh = {"leaseDurationSeconds": int(DURATION), "renewTime": _now(), "holderIdentity": self._identity}
        if holder != self._identity:
            fresh |= {"acquireTime": _now(), "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        try:
            await self._api.replace(LEASE, {**lease, "spec": {**spec, **fresh}}, manager=MANAGER)
        except Conflict:
            return False
        return True

    async def _create(self) -> bool:
        body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": NAME, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(DURATION),
                "acquireTime": _now(),
                "renewTime": _now(),
                "leaseTransitions": 0,
            },
        }
        try:
            await self._api.create(LEASE, body, manager=MANAGER)
        except Conflict:
            return False
        return True

    def _expired(self, lease: Mapping[str, Any]) -> bool:
        version = lease["metadata"]["resourceVersion"]
        now = asyncio.get_running_loop().time()
        if self._seen is None or self._seen[0] != version:
            self._seen = version, now
        return now - self._seen[1] > float(lease["spec"].get("leaseDurationSeconds") or DURATION)


def _cause(error: Exception) -> str:
    return str(error) or "no answer in time"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
