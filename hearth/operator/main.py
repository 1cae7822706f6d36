"""The operator as a process: what runs beside what, and in which order it stops."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import kopf

from hearth.operator.cache import Cache, Key
from hearth.operator.health import Health
from hearth.operator.kubernetes.client import Api, ApiClient
from hearth.operator.kubernetes.connection import Connection, find_connection
from hearth.operator.kubernetes.errors import ApiError, NotWatched, OperatorError
from hearth.operator.kubernetes.event_recorder import EventRecorder
from hearth.operator.kubernetes.kinds import SCALED_OBJECT
from hearth.operator.kubernetes.leader_election import Lease
from hearth.operator.metrics import Metrics
from hearth.operator.planner import Planner
from hearth.operator.reconcile.service import Reconciler
from hearth.operator.status.observer import Observer
from hearth.operator.watch.event_handlers import EventHandlers
from hearth.operator.watch.kopf_watch import build_registry, build_settings
from hearth.operator.watch.resync import PERIOD, RelistDetector, Resync
from hearth.operator.work_queue import WorkQueue
from hearth.planning import PlanOptions
from hearth.plugins import VendorHost

logger = logging.getLogger(__name__)

STUCK = 300.0
"""Seconds after which a reconcile that does not end is a reason to be restarted: its requests have time-outs."""

RETRY = 2.0
"""Seconds between two tries to look at the cluster, and before a look that kopf's lists give reason to."""

KEDA_PERIOD = 5.0
"""Seconds between two looks at whether KEDA is installed, while it is not; ten times as long while it is."""

SILENCE = 10.0
"""Seconds that there is a ScaledObject and no event of any, since KEDA came, until they are taken not to be watched."""

SPREAD = 60.0
"""Seconds over which the reconciles of a periodic look are spread."""

WATCH_END = 10.0
"""Seconds that kopf has to end its watches."""


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of the operator. `host` is None for every address."""

    plan: PlanOptions
    host: str | None = None
    port: int = 8081
    leader_elect: bool = False
    workers: int = 4
    identity: str = "hearth-operator"
    namespace: str = "hearth-system"


@dataclass(slots=True)
class _Parts:
    """What one process consists of."""

    api: Api
    cache: Cache
    queue: WorkQueue[Key]
    reconciler: Reconciler
    handlers: EventHandlers
    resync: Resync
    relist_detector: RelistDetector
    metrics: Metrics
    primed: bool = field(default=False)
    leading: bool = field(default=False)


async def run(options: Options, host: VendorHost, environ: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT, and return the exit code; 1 when watching failed or the lease was lost."""
    connection = find_connection(environ)
    stop = asyncio.Event()
    _catch_signals(stop)
    async with ApiClient(connection) as api:
        parts = _build(api, options, host)
        health = Health(
            options.host,
            options.port,
            parts.metrics,
            alive=lambda: _problem(parts),
            ready=lambda: None if parts.primed or (options.leader_elect and not parts.leading) else "starting",
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(health)
            logger.info("answering /healthz, /readyz and /metrics on port %d", health.port)
            lease: Lease | None = None
            if options.leader_elect:
                lease = Lease(api, options.namespace, options.identity)
                stack.push_async_callback(lease.release)  # who is told to end while it asks for it may have it already
                if not await _unless_stopped(lease.acquire(), stop):
                    return 0
            return await _lead(parts, connection, options, lease, stop)


def _build(api: Api, options: Options, host: VendorHost) -> _Parts:
    loop = asyncio.get_running_loop()
    cache, metrics = Cache(), Metrics()
    queue: WorkQueue[Key] = WorkQueue(loop)
    metrics.queue_depth, metrics.failing = lambda: queue.depth, lambda: queue.failing
    handlers = EventHandlers(cache, queue, metrics)
    reconciler = Reconciler(
        api,
        cache,
        queue,
        Planner(host, options.plan),
        Observer(api, cache, loop.time),
        EventRecorder(api, options.identity),
        metrics,
        loop.time,
    )
    return _Parts(
        api, cache, queue, reconciler, handlers, Resync(api, cache, handlers, queue), RelistDetector(loop.time), metrics
    )


async def _lead(
    parts: _Parts, connection: Connection, options: Options, lease: Lease | None, stop: asyncio.Event
) -> int:
    """Do the work. kopf ends every task of the loop that came after its own, so ours end before it is told to."""
    parts.leading = True
    parts.metrics.leader = 1
    existing = asyncio.all_tasks()
    stop_watching = asyncio.Event()
    tasks = await kopf.spawn_tasks(
        registry=build_registry(parts.handlers, parts.relist_detector, connection),
        settings=build_settings(),
        clusterwide=True,
        standalone=True,
        stop_flag=stop_watching,
    )
    _catch_signals(stop)  # kopf put its own handlers there
    watching = asyncio.create_task(kopf.run_tasks(tasks, ignored=existing), name="watching")
    working = [asyncio.create_task(_work(parts, options), name="working")]
    if lease is not None:
        working.append(asyncio.create_task(lease.keep(), name="lease"))
    stopped = asyncio.create_task(stop.wait(), name="stop")
    code = 0
    try:
        await asyncio.wait({watching, stopped, *working}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            code = 1
            _report([watching, *working])
        else:
            logger.info("stopping")
    finally:
        parts.metrics.leader = 0
        parts.queue.close()
        for task in (*working, stopped):
            task.cancel()
        await asyncio.gather(*working, stopped, return_exceptions=True)
        if lease is not None:
            await lease.release()
        stop_watching.set()
        _, pending = await asyncio.wait({watching}, timeout=WATCH_END)
        if pending:
            logger.warning("the watches did not end in %.0f s", WATCH_END)
    return code


async def _work(parts: _Parts, options: Options) -> None:
    """Look at everything once, then reconcile what changes."""
    while True:
        try:
            served = await parts.api.serves(SCALED_OBJECT)
            parts.reconciler.keda_is(served=served)
            await parts.resync.run(keda=served)
            break
        except ApiError as exc:
            logger.warning("the cluster cannot be looked at: %s", exc)
            await asyncio.sleep(RETRY)
    parts.primed = True
    logger.info(
        "found %d services, %d runtimes and %d objects of theirs; KEDA is %s",
        len(parts.cache.services),
        len(parts.cache.runtimes),
        len(parts.cache.children),
        "there" if served else "not installed: models are not scaled until it is",
    )
    parts.handlers.everything(spread=0.0)
    async with asyncio.TaskGroup() as group:
        for _ in range(options.workers):
            group.create_task(_worker(parts))
        group.create_task(_look_again(parts))
        group.create_task(_look_for_keda(parts))


async def _worker(parts: _Parts) -> None:
    loop = asyncio.get_running_loop()
    while True:
        key = await parts.queue.get()
        began = loop.time()
        result = "success"
        try:
            if await parts.reconciler.reconcile(key):
                parts.queue.succeeded(key)
        except OperatorError as exc:
            result = "error"
            delay = parts.queue.retry(key)
            logger.warning("%s: %s; next try in %.1f s", key, exc, delay)
        except Exception:
            result = "error"
            delay = parts.queue.retry(key)
            logger.exception("%s: failed; next try in %.1f s", key, delay)
        finally:
            parts.queue.done(key)
            parts.metrics.reconciled(result, loop.time() - began)


async def _look_again(parts: _Parts) -> None:
    """Look at everything from time to time, and soon after kopf listed something again."""
    found = parts.relist_detector.found
    while True:
        gap = await _set_within(found, PERIOD * random.uniform(0.9, 1.1))  # noqa: S311 - to spread load
        if gap:
            await asyncio.sleep(RETRY)  # the other kinds are listed again at about the same time
        found.clear()
        try:
            await parts.resync.run(keda=await parts.api.serves(SCALED_OBJECT))
        except ApiError as exc:
            logger.warning("the cluster cannot be looked at: %s", exc)
            if gap:
                found.set()
        else:
            if not gap:
                parts.handlers.everything(spread=SPREAD)


async def _look_for_keda(parts: _Parts) -> None:
    """The group's own page says it: a watch of all definitions would cost megabytes.

    kopf looks at the same page when a definition changes, and never again. Where the page comes later than the change,
    nothing that happens to ScaledObjects would be seen: that is noticed here. Raises NotWatched.
    """
    now = asyncio.get_running_loop().time
    silent_since: float | None = None
    heard = parts.handlers.heard
    while True:
        await asyncio.sleep(KEDA_PERIOD * (10 if parts.metrics.keda and SCALED_OBJECT in heard else 1))
        before = parts.metrics.keda
        try:
            parts.reconciler.keda_is(served=await parts.api.serves(SCALED_OBJECT))
        except ApiError as exc:
            logger.warning("it is not known whether KEDA is there: %s", exc)
            continue
        if not before:
            heard.discard(SCALED_OBJECT)
        if not parts.metrics.keda or SCALED_OBJECT in heard or not parts.cache.has(SCALED_OBJECT):
            silent_since = None
        elif silent_since is None:
            silent_since = now()
        elif now() - silent_since >= SILENCE:
            raise NotWatched(
                "ScaledObjects are served and there are some, but no change of them arrives; starting anew"
            )


def _problem(parts: _Parts) -> str | None:
    """Why the process should be restarted, if it should."""
    now = asyncio.get_running_loop().time()
    stuck = [str(key) for key, since in parts.queue.running.items() if now - since > STUCK]
    return f"stuck: {', '.join(stuck)}" if stuck else None


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event for so long at most. Returns whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def _unless_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Do something to its end, or until told to stop. Returns whether it came to its end."""
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
    """Say which task ended without being asked, and why."""
    for task in tasks:
        if task.done() and not task.cancelled():
            error = task.exception()
            logger.error("%s ended: %s", task.get_name(), error or "no reason given", exc_info=error)


def _catch_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
