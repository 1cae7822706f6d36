"""One thing that is not as wanted, in words for the owner and in words for everybody.

Nothing here may depend on the time or on what changes without meaning anything (names of pods, back-off times, counts
of restarts): the same trouble has the same words, so that a status is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hearth.operator.diagnosis.reasons import Reason

Stage = Literal["starting", "waiting", "broken"]
"""starting: it will be ready if nothing happens; waiting: for something else; broken: somebody has to act."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that is not as wanted. `message` is for the owner of the service. `notice` is for a client that waits,
    who may be anybody: it names no node, pod, image or other service; None where waiting is all there is to say."""

    reason: Reason
    message: str
    stage: Stage
    notice: str | None = None


def rank(trouble: Diagnosis) -> tuple[int, str, str]:
    return ("broken", "waiting", "starting").index(trouble.stage), trouble.reason, trouble.message
