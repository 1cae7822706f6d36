"""Failures to apply: which ones a status tells, and when the next attempt is due."""

from __future__ import annotations

from hearth.operator.cache import Key
from hearth.operator.kubernetes.errors import OperatorError
from hearth.operator.work_queue import WorkQueue

TOLERATED = 4
"""Failures in a row of one key, some four seconds, during which a status keeps silent about what the next attempt mostly
resolves."""

RECHECK = 60.0
"""Seconds until the next attempt at what only a person can put right. No watch event follows when they have: an object in
the way has no label of Hearth's, and what an admission webhook denies is decided elsewhere. Not counted as a failure."""


def lasting(error: OperatorError, queue: WorkQueue[Key], key: Key) -> OperatorError | None:
    """Return the error, unless it is likely to be over before anybody has read of it."""
    return None if error.passing and queue.failures(key) < TOLERATED else error


def retry_later(error: OperatorError, queue: WorkQueue[Key], key: Key) -> None:
    """Raise the error if its key is to be retried with back-off; queue the key for a recheck if not."""
    if error.retriable:
        raise error
    queue.add(key, after=RECHECK)
