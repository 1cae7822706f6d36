"""The one word that `hearth get` shows for a service, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hearth.api.phase import Phase


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """What is visible of one replica. `retry_in` is seconds until its next start while it waits for that, `running_for`
    seconds since its process was started.
    """

    name: str
    ready: bool
    leaving: bool
    running: bool
    crash_loop: bool
    cause: str | None = None
    retry_in: float | None = None
    running_for: float = 0.0


def phase_of(
    wanted: int, replicas: Sequence[ReplicaState], *, waiting: str | None = None, impossible: str | None = None
) -> tuple[Phase, str]:
    """The phase and its reason (empty when there is nothing to say)."""
    staying = [replica for replica in replicas if not replica.leaving]
    broken = next((replica for replica in staying if replica.crash_loop and not replica.ready), None)
    trouble = _trouble(broken) if broken is not None else impossible or waiting or ""
    if wanted == 0:
        going = len(replicas) - len(staying)
        return "ScaledToZero", f"{going} {'replica is' if going == 1 else 'replicas are'} stopping" if going else ""
    if any(replica.ready for replica in staying):
        return "Ready", trouble
    if broken is not None or impossible is not None:
        return "Degraded", trouble
    if not staying:
        return "Pending", trouble or "starting"
    restarting = next((replica.cause for replica in staying if replica.cause), None)
    return "Loading", restarting or trouble or _starting(staying)


def _starting(staying: Sequence[ReplicaState]) -> str:
    """An engine may load for minutes; one that hangs looks the same, so say where to look."""
    longest = max(replica.running_for for replica in staying)
    return f"starting for {longest:.0f} s, its probe is not answered yet; `hearth logs` shows what the engine says"


def _trouble(replica: ReplicaState) -> str:
    when = f"; next start in {max(0.0, replica.retry_in):.0f} s" if replica.retry_in is not None else ""
    return f"replica {replica.name}: {replica.cause or 'keeps ending'}{when}"
