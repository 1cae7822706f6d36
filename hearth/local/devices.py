"""Devices of this machine and their allocation: whole devices, never shared, oldest claim first. Pure.

The rules:

- A wake (the first replica of a service) is served before a further replica of another service.
- Within each of the two kinds the oldest claim is served first. A younger one does not overtake it by being smaller, so
  a service that needs many devices is not starved. A claim beyond what the machine has blocks no other.
- While a wake waits, services with replicas beyond their demand release those (`Allocation.contended` tells the
  autoscaler). A wake that has waited longer than `PATIENCE` also gets the devices of a busy replica, if its service can
  spare it: one replica for each service before a second for any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hearth.api import format_duration

PATIENCE = 10.0
"""Seconds that a wake waits before it may take the devices of a busy replica."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Devices of one vendor on this machine. `error` says why there are none."""

    vendor: str
    devices: tuple[str, ...]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """Devices of one replica. `leaving`: it is being stopped. `spare`: its service can do without it."""

    service: str
    replica: str
    vendor: str
    devices: tuple[str, ...]
    leaving: bool = False
    spare: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim for one replica that a service lacks. `since` is when the service began to wait, in seconds."""

    service: str
    vendor: str
    size: int
    since: float
    waking: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """Devices for one new replica of a service."""

    service: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Allocation:
    """Answer to all claims."""

    grants: tuple[Grant, ...] = ()
    releases: tuple[str, ...] = ()
    """Replicas to stop so that a wake gets their devices."""
    contended: frozenset[str] = frozenset()
    """Vendors whose devices a wake waits for."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    """Service -> why it waits, in words for people."""
    impossible: Mapping[str, str] = field(default_factory=dict)
    """Service -> why this machine can never run it."""


def allocate(
    pools: Sequence[Pool],
    holdings: Sequence[Holding],
    claims: Sequence[Claim],
    now: float,
    sleeps_in: Mapping[str, float] | None = None,
) -> Allocation:
    """Serve the claims as far as devices suffice.

    `sleeps_in` has the seconds until an idle service scales to zero; only the reasons use it.
    """
    by_vendor = {pool.vendor: pool for pool in pools}
    grants: list[Grant] = []
    releases: list[str] = []
    contended: set[str] = set()
    waiting: dict[str, str] = {}
    impossible: dict[str, str] = {}
    ordered = sorted(claims, key=lambda claim: (not claim.waking, claim.since, claim.service))

    for vendor in dict.fromkeys(claim.vendor for claim in ordered):
        pool = by_vendor.get(vendor, Pool(vendor, (), "this machine has none"))
        held = [holding for holding in holdings if holding.vendor == vendor]
        taken = {device for holding in held for device in holding.devices}
        free = [device for device in pool.devices if device not in taken]
        first: Claim | None = None
        for claim in (claim for claim in ordered if claim.vendor == vendor):
            if claim.size > len(pool.devices):
                impossible[claim.service] = _impossible(claim, pool)
            elif claim.size == 0 or (first is None and claim.size <= len(free)):
                grants.append(Grant(claim.service, tuple(free[: claim.size])))
                del free[: claim.size]
            else:
                waiting.setdefault(claim.service, _waiting(claim, pool, held, first, sleeps_in or {}))
                first = first or claim
        if first is not None and first.waking:
            contended.add(vendor)
            releases += _releases(first, held, len(free), now)
    return Allocation(tuple(grants), tuple(releases), frozenset(contended), waiting, impossible)


def _releases(claim: Claim, held: Sequence[Holding], free: int, now: float) -> list[str]:
    """Return the spare replicas that a wake takes once it has waited long enough, from services with most devices first."""
    if now - claim.since < PATIENCE:
        return []
    coming = free + sum(len(holding.devices) for holding in held if holding.leaving)
    owned = Counter(holding.service for holding in held if not holding.leaving)
    spare = [holding for holding in held if holding.spare and not holding.leaving and holding.devices]
    chosen: list[str] = []
    while coming < claim.size and spare:
        victim = max(spare, key=lambda holding: (owned[holding.service], holding.service, holding.replica))
        spare.remove(victim)
        owned[victim.service] -= 1
        coming += len(victim.devices)
        chosen.append(victim.replica)
    return chosen


def _waiting(
    claim: Claim, pool: Pool, held: Sequence[Holding], first: Claim | None, sleeps_in: Mapping[str, float]
) -> str:
    users = sorted({holding.service for holding in held if holding.devices})
    used = sum(len(holding.devices) for holding in held)
    text = f"needs {_count(claim.size)} of vendor {pool.vendor}; {used} of {len(pool.devices)} {_are(used)} in use"
    if users:
        text += f" by {', '.join(users)}"
    if first is not None and first.service != claim.service:
        text += f"; {first.service} is ahead in the queue"
    soonest = min(((sleeps_in[user], user) for user in users if user in sleeps_in), default=None)
    if soonest is not None:
        text += f"; {soonest[1]} is idle and scales to zero in {format_duration(max(1, round(soonest[0])))}"
    return text


def _impossible(claim: Claim, pool: Pool) -> str:
    why = f": {pool.error}" if pool.error else ""
    return f"needs {_count(claim.size)} of vendor {pool.vendor}; this machine has {len(pool.devices)}{why}"


def _count(number: int) -> str:
    return "1 accelerator" if number == 1 else f"{number} accelerators"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
