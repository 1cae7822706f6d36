"""Main: the operator as a process, what runs in it beside what, and in which order it stops."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from hearth.operator.cache import Cache, Key
from hearth.operator.health import Health
from hearth.operator.keda_availability import KedaAvailability
from hearth.operator.kubernetes.client import Api, ApiClient
from hearth.operator.kubernetes.connection import Connection
from hearth.operator.kubernetes.event_recorder import EventRecorder
from hearth.operator.kubernetes.leader_election import LeaderElection
from hearth.operator.kubernetes.login import find_connection
from hearth.operator.metrics import Metrics
from hearth.operator.planner import Planner
from hearth.operator.reconcile.apply import Applier
from hearth.operator.reconcile.namespace import NamespaceReconciler
from hearth.operator.reconcile.reconciler import Reconciler
from hearth.operator.reconcile.service import ServiceReconciler
from hearth.operator.reconcile.worker import work
from hearth.operator.status.observer import Observer
from hearth.operator.watch.event_handlers import EventHandlers
from hearth.operator.watch.keda_discovery import KedaDiscovery
from hearth.operator.watch.kopf_watch import KopfWatch
from hearth.operator.watch.resync import RelistDetector, Resync
from hearth.operator.work_queue import WorkQueue
from hearth.planning import PlanOptions
from hearth.plugins import VendorHost

logger = logging.getLogger(__name__)

STUCK = 300.0
"""Seconds after which a reconcile that does not end is a reason to restart the process: its requests have time-outs."""


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the operator. `host` is None for every address."""

    plan: PlanOptions
    host: str | None = None
    port: int = 8081
    leader_elect: bool = False
    workers: int = 4
    identity: str = "hearth-operator"
    namespace: str = "hearth-system"


class _Parts:
    """Parts of one process, each made of those above it."""

    def __init__(self, api: Api, options: Options, host: VendorHost) -> None:
        loop = asyncio.get_running_loop()
        self.cache = Cache()
        self.queue: WorkQueue[Key] = WorkQueue(loop)
        self.keda = KedaAvailability(self.cache, self.queue, loop.time)
        self.metrics = Metrics()
        self.metrics.queue_depth, self.metrics.failing = lambda: self.queue.depth, lambda: self.queue.failing
        self.metrics.keda = lambda: self.keda.served
        self.handlers = EventHandlers(self.cache, self.queue, self.keda, self.metrics)
        self.relists = RelistDetector(loop.time)
        self.discovery = KedaDiscovery(api, self.keda)
        self.resync = Resync(api, self.cache, self.queue, self.handlers, self.keda, self.discovery)
        self.reconciler = build_reconciler(
            api,
            self.cache,
            self.queue,
            self.keda,
            self.metrics,
            Planner(host, options.plan, self.cache),
            EventRecorder(api, options.identity),
            loop.time,
        )
        self.primed = False
        """Whether everything was listed once."""


def build_reconciler(
    api: Api,
    cache: Cache,
    queue: WorkQueue[Key],
    keda: KedaAvailability,
    metrics: Metrics,
    planner: Planner,
    recorder: EventRecorder,
    clock: Callable[[], float],
) -> Reconciler:
    """Return what reconciles the keys of a queue. `clock` gives seconds."""
    applier, observer = Applier(api, cache, metrics), Observer(api, cache, keda, clock)
    namespaces = NamespaceReconciler(api, cache, queue, planner, applier, clock)
    services = ServiceReconciler(
        api, cache, queue, planner, applier, observer, recorder, keda, metrics, namespaces.states
    )
    return Reconciler(namespaces, services)


async def run(options: Options, host: VendorHost, environ: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT, and return the exit code; 1 when a watch failed or the lease was lost."""
    connection = find_connection(environ)
    stop = asyncio.Event()
    _catch_signals(stop)
    async with ApiClient(connection) as api, AsyncExitStack() as stack:
        parts = _Parts(api, options, host)
        standby = options.leader_elect
        health = Health(
            options.host,
            options.port,
            parts.metrics,
            alive=lambda: _problem(parts),
            ready=lambda: None if parts.primed or (standby and not parts.metrics.leader) else "starting",
        )
        await stack.enter_async_context(health)
        logger.info("Serving /healthz, /readyz and /metrics on port %d", health.port)
        election: LeaderElection | None = None
        if options.leader_elect:
            election = LeaderElection(api, options.namespace, options.identity)
            # Also when stopped while acquiring it: the last request may have succeeded.
            stack.push_async_callback(election.release)
            if not await _unless_stopped(election.acquire(), stop):
                return 0
        return await _lead(parts, connection, options, election, stop)


async def _lead(
    parts: _Parts, connection: Connection, options: Options, election: LeaderElection | None, stop: asyncio.Event
) -> int:
    """Do the work until told to stop, or until a part of it ends by itself. The watch starts first and stops last."""
    parts.metrics.leader = 1
    watch = KopfWatch(parts.handlers, parts.relists, connection)
    watching = await watch.start()
    _catch_signals(stop)  # in place of kopf's
    working = [asyncio.create_task(_work(parts, options), name="work")]
    if election is not None:
        working.append(asyncio.create_task(election.keep(), name="lease renewal"))
    stopped = asyncio.create_task(stop.wait(), name="stop")
    code = 0
    try:
        await asyncio.wait({watching, stopped, *working}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            code = 1
            _report([watching, *working])
        else:
            logger.info("Stopping")
    finally:
        parts.metrics.leader = 0
        parts.queue.close()
        for task in (*working, stopped):
            task.cancel()
        await asyncio.gather(*working, stopped, return_exceptions=True)
        if election is not None:
            await election.release()
        await watch.stop()
    return code


async def _work(parts: _Parts, options: Options) -> None:
    """List everything once, then reconcile what changes."""
    await parts.resync.run_first()
    parts.primed = True
    logger.info(
        "Initial sync done: %d LLMServices, %d InferenceRuntimes, %d managed objects; KEDA is %s",
        len(parts.cache.services),
        len(parts.cache.runtimes),
        len(parts.cache.children),
        "installed" if parts.keda.served else "not installed: models are not scaled until it is",
    )
    parts.handlers.queue_all(spread=0.0)
    async with asyncio.TaskGroup() as group:
        for _ in range(options.workers):
            group.create_task(work(parts.queue, parts.reconciler, parts.metrics))
        group.create_task(parts.resync.run_periodically(parts.relists))
        group.create_task(parts.discovery.run())


def _problem(parts: _Parts) -> str | None:
    """Return why the process should be restarted, if it should."""
    now = asyncio.get_running_loop().time()
    stuck = [str(key) for key, since in parts.queue.running.items() if now - since > STUCK]
    return f"stuck: {', '.join(stuck)}" if stuck else None


async def _unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Do something to its end, or until told to stop. Return whether it came to its end."""
    task, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    ended = task.done()
    for each in (task, stopped):
        each.cancel()
    results = await asyncio.gather(task, stopped, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]
    return ended and not stop.is_set()


def _report(tasks: list[asyncio.Task[Any]]) -> None:
    """Log which task ended without being asked, and why."""
    for task in tasks:
        if not task.done() or task.cancelled():
            continue
        error = task.exception()
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is None:
            logger.error("Task %s exited unexpectedly", task.get_name())
        else:
            logger.error("Task %s failed: %s", task.get_name(), error, exc_info=error)


def _catch_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
