"""Diagnosis: one thing that is not as desired, in words for the owner of a service and in words for everybody.

It depends neither on the time nor on what changes without meaning anything (names of pods, back-off times, counts of
restarts): the same trouble has the same words, so that a status is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hearth.operator.diagnosis.reasons import Reason

Stage = Literal["starting", "waiting", "broken"]
"""starting: ready soon if nothing happens; waiting: for something else; broken: somebody has to act."""

LOOP = 2
"""Failures in a row that are a crash loop, as in local mode."""

SEE_STATUS = "the owner can see why in the LLMService status"
"""The end of a notice whose cause is not everybody's business."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that is not as desired."""

    reason: Reason
    message: str
    """For the owner of the service: what is, why, and what to do."""
    stage: Stage
    notice: str | None = None
    """For a client that waits, who may be anybody: it names no node, pod, image or other service. None where waiting is
    all there is to say."""


def rank(trouble: Diagnosis) -> tuple[int, str, str]:
    """Return the key that sorts the worst first."""
    return ("broken", "waiting", "starting").index(trouble.stage), trouble.reason, trouble.message
