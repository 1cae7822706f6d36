"""Phase of a service: the one word that `hearth get` shows, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hearth.api import format_duration
from hearth.api.phase import Phase


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """What a phase follows from, of one replica.

    `cause` says how its process ended last, as in "exited with code 1". `retry_in` is seconds until its next start while
    it waits for that, `running_for` seconds since its process was started.
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
    """Return the phase and its reason, which is empty when there is nothing to say."""
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
    restarting = next((replica for replica in staying if replica.cause), None)
    return "Loading", _trouble(restarting) if restarting is not None else trouble or _starting(staying)


def _starting(staying: Sequence[ReplicaState]) -> str:
    """Return where to look: an engine may load for minutes, and one that hangs looks the same."""
    longest = format_duration(round(max(replica.running_for for replica in staying)))
    return f"starting for {longest}, the startup probe has not succeeded yet; `hearth logs` has the engine's output"


def _trouble(replica: ReplicaState) -> str:
    when = f"; restarting in {format_duration(max(0, round(replica.retry_in)))}" if replica.retry_in is not None else ""
    return f"replica {replica.name} {replica.cause or 'keeps crashing'}{when}"
