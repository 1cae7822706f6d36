"""Notice: the short sentence that the gateway shows to clients that wait for a service."""

from __future__ import annotations

from hearth.operator.diagnosis.diagnosis import SEE_STATUS
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.status.assessment import assess


def waiting_notice(observed: Observed) -> str | None:
    """Return the notice for a service; None when all is normal.

    A client may be anybody: it learns neither names of others nor of nodes, images or secrets.
    """
    assessment = assess(observed)
    if assessment.deleting:
        return "the service is being deleted"
    if assessment.ready:
        return None
    if assessment.error is not None:
        return f"the service is misconfigured; {SEE_STATUS}"
    if assessment.desired:
        return assessment.start.notice
    return assessment.waking.notice if assessment.waking is not None else None
