"""One service as the supervisor keeps it: its workload, its replicas and what was decided about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hearth.local.autoscaler import ScalerState
from hearth.local.replica import Replica
from hearth.local.workload import Workload
from hearth_gateway import Endpoint


@dataclass(slots=True)
class Service:
    """A service of the manifests. `removed` means that the manifests no longer name it and its replicas are draining.

    `since`, `waiting_since` are in the loop's seconds. `waiting` says which devices it waits for, `impossible` why it
    can never get them. `endpoints` and `notice` are what the gateway was given last.
    """

    workload: Workload
    since: float
    scaler: ScalerState = field(default_factory=ScalerState)
    wanted: int = 0
    replicas: dict[str, Replica] = field(default_factory=dict)
    waiting_since: float | None = None
    waiting: str | None = None
    impossible: str | None = None
    removed: bool = False
    endpoints: tuple[Endpoint, ...] = ()
    notice: str | None = None

    def staying(self) -> list[Replica]:
        """Return the replicas that are not stopping."""
        return [replica for replica in self.replicas.values() if not replica.leaving]

    def fresh(self) -> list[Replica]:
        """Return the staying replicas which run the current workload."""
        return [replica for replica in self.staying() if replica.workload.fingerprint == self.workload.fingerprint]

    def stale(self) -> list[Replica]:
        """Return the staying replicas which run an earlier workload."""
        return [replica for replica in self.staying() if replica.workload.fingerprint != self.workload.fingerprint]


def expendable(replicas: Sequence[Replica], load: Callable[[Replica], int]) -> list[Replica]:
    """Return replicas in the order in which they are given up: unready first, then idle, then newest.

    `load` returns the number of requests in flight on a replica.
    """
    return sorted(replicas, key=lambda replica: (replica.ready, load(replica), -int(replica.name)))
