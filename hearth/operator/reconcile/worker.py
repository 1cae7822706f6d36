"""Worker: takes keys from the queue, one after the other, and reconciles each."""

from __future__ import annotations

import asyncio
import logging

from hearth.operator.cache import Key
from hearth.operator.kubernetes.errors import OperatorError
from hearth.operator.metrics import Metrics
from hearth.operator.reconcile.reconciler import Reconciler
from hearth.operator.work_queue import WorkQueue

logger = logging.getLogger(__name__)


async def work(queue: WorkQueue[Key], reconciler: Reconciler, metrics: Metrics) -> None:
    """Reconcile keys until cancelled. A key that fails is retried with back-off, whatever the failure."""
    clock = asyncio.get_running_loop().time
    while True:
        key = await queue.get()
        began = clock()
        result = "success"
        try:
            if await reconciler.reconcile(key):
                queue.succeeded(key)
        except OperatorError as exc:
            result = "error"
            logger.warning("Failed to reconcile %s: %s; retrying in %.1f s", key, exc, queue.retry(key))
        except Exception:
            result = "error"
            logger.exception("Failed to reconcile %s; retrying in %.1f s", key, queue.retry(key))
        finally:
            queue.done(key)
            metrics.reconciled(result, clock() - began)
