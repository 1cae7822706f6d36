"""The other replicas of the gateway: each reports its demand to each other one, and keeps the reports of the others.

A replica opens one stream to each other one. The first message is the whole demand, then changes follow: beginnings and
ends of demand at once, counts twice a second. A silent replica is called again, and counts for as long as `reports.EXPIRY`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import grpc

from hearth_gateway.cluster.rpc import peers_pb2 as pb
from hearth_gateway.policy.reports import EXPIRY, NOTHING, Reports, Share

log = logging.getLogger("hearth.gateway")

COUNT_INTERVAL = 0.5
"""Seconds between two looks for changed counts."""

HEARTBEAT = 1.0
"""Seconds between two messages, changes or not."""

SILENCE = 4.0
"""Seconds without a message until a stream counts as broken."""

FIRST_DELAY = 0.1
"""Seconds until a broken stream is opened again; doubled for each further attempt."""

MAX_DELAY = 2.0
"""Seconds, at most, between two attempts to open a stream."""

UNREACHABLE_AFTER = EXPIRY
"""Seconds without a stream until that is logged: a replica that starts or stops is no trouble."""

_METHOD = "/hearth.gateway.Peers/Watch"
# A pool of its own, so that the library's waiting between attempts to connect (up to 120 s) is not ours.
# And past any proxy of the environment, which knows no pods.
_CHANNEL = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0))

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def write_shares(shares: Mapping[str, Share]) -> dict[str, Any]:
    """Return the fields of a report with these shares."""
    return {
        "demand": {name: share.demand for name, share in shares.items()},
        "idle": [name for name, share in shares.items() if share.wanted and not share.requests],
    }


def read_shares(report: pb.Report) -> dict[str, Share]:
    """Return the shares in a report."""
    idle = frozenset(report.idle)
    return {name: Share(0 if name in idle else value, value > 0) for name, value in report.demand.items()}


class _Subscriber:
    """One other replica that receives the demand of this one."""

    __slots__ = ("ended", "news", "sent")

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.ended = False
        self.sent: dict[str, Share] = {}


class PeerServer:
    """The end that reports the demand of this replica. `shares` gives the services with demand, `leases` those handed over."""

    def __init__(
        self, instance: str, shares: Callable[[], Mapping[str, Share]], leases: Callable[[], Mapping[str, float]]
    ) -> None:
        self._instance = instance
        self._shares = shares
        self._leases = leases
        self._subscribers: set[_Subscriber] = set()

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the handler for a gRPC server."""
        watch = grpc.unary_stream_rpc_method_handler(
            self._watch, pb.WatchRequest.FromString, pb.Report.SerializeToString
        )
        return grpc.method_handlers_generic_handler("hearth.gateway.Peers", {"Watch": watch})

    def changed(self) -> None:
        """Report at once that demand began or ended."""
        for subscriber in self._subscribers:
            subscriber.news.set()

    def end_streams(self) -> None:
        """End every open stream with the report that there is no demand here any more."""
        for subscriber in self._subscribers:
            subscriber.ended = True
            subscriber.news.set()

    async def _watch(self, _request: pb.WatchRequest, context: Context) -> None:
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        try:
            await self._report(subscriber, context)
            await context.write(pb.Report(instance=self._instance, full=True, leaving=True, lease=self._leases()))
        finally:
            self._subscribers.discard(subscriber)

    async def _report(self, subscriber: _Subscriber, context: Context) -> None:
        """Send everything, then changes and heartbeats until the stream is to end."""
        loop = asyncio.get_running_loop()
        subscriber.sent = dict(self._shares())
        await context.write(pb.Report(instance=self._instance, full=True, **write_shares(subscriber.sent)))
        last = loop.time()
        while not subscriber.ended:
            try:
                async with asyncio.timeout(COUNT_INTERVAL):
                    await subscriber.news.wait()
            except TimeoutError:
                pass
            subscriber.news.clear()
            shares = dict(self._shares())
            changes = _changes(subscriber.sent, shares)
            if changes or loop.time() - last >= HEARTBEAT:
                subscriber.sent = shares
                await context.write(pb.Report(instance=self._instance, **write_shares(changes)))
                last = loop.time()


def _changes(before: Mapping[str, Share], after: Mapping[str, Share]) -> dict[str, Share]:
    changes = {name: share for name, share in after.items() if before.get(name) != share}
    changes.update(dict.fromkeys(before.keys() - after.keys(), NOTHING))
    return changes


class Peer(NamedTuple):
    """One other replica: its pod, and the gRPC target that it is called at."""

    pod: str
    target: str


class PeerClient:
    """The end that calls the others and keeps `reports` up to date.

    `changed` is called with the services whose reports changed, `take_over` with the leases of a replica that leaves.
    """

    def __init__(
        self,
        pod: str,
        instance: str,
        reports: Reports,
        *,
        changed: Callable[[Iterable[str]], None],
        take_over: Callable[[Mapping[str, float]], None],
    ) -> None:
        self._pod = pod
        self._instance = instance
        self._reports = reports
        self._changed = changed
        self._take_over = take_over
        self._tasks: dict[Peer, asyncio.Task[None]] = {}
        self._reported: set[Peer] = set()
        self._unreachable: set[Peer] = set()  # for which that was logged
        self.connected: set[Peer] = set()
        self.errors = 0

    def follow(self, targets: Mapping[str, str]) -> None:
        """Call these replicas, gRPC targets by pod, and no others; the reports of the others expire."""
        wanted = {Peer(pod, target) for pod, target in targets.items()}
        for peer in [peer for peer in self._tasks if peer not in wanted]:
            self._tasks.pop(peer).cancel()
        for peer in wanted - self._tasks.keys():
            self._reported.discard(peer)
            self._unreachable.discard(peer)
            self._tasks[peer] = asyncio.get_running_loop().create_task(self._call(peer), name=f"peer {peer.pod}")

    @property
    def peers(self) -> int:
        """The number of other replicas."""
        return len(self._tasks)

    def all_reported(self) -> bool:
        """Return whether each of the others has reported its demand."""
        return self._tasks.keys() <= self._reported

    async def stop(self) -> None:
        """Call nobody any more."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, peer: Peer) -> None:
        """Receive the peer's reports for ever, over as many streams as that takes."""
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        lost_at = loop.time()
        while True:
            why = "it ended its stream"
            try:
                async with grpc.aio.insecure_channel(peer.target, options=_CHANNEL) as channel:
                    await self._receive(peer, channel)
            except TimeoutError:
                why = f"no message for {SILENCE:g} s"
            except grpc.aio.AioRpcError as error:
                why = error.details() or error.code().name
            finally:
                was_connected = peer in self.connected
                self.connected.discard(peer)
            if was_connected:
                log.info("Lost peer %s at %s: %s; its demand counts for %g s more", *peer, why, EXPIRY)
                delay = FIRST_DELAY
                lost_at = loop.time()
            else:
                self.errors += 1
                if loop.time() >= lost_at + UNREACHABLE_AFTER:
                    self._log_unreachable(peer, why)
            await asyncio.sleep(delay * (0.5 + random.random()))  # noqa: S311 - no secret
            delay = min(MAX_DELAY, delay * 2)

    def _log_unreachable(self, peer: Peer, why: str) -> None:
        if peer not in self._unreachable:
            self._unreachable.add(peer)
            log.warning("Failed to reach peer %s at %s: %s; its demand is not included until it answers", *peer, why)

    async def _receive(self, peer: Peer, channel: grpc.aio.Channel) -> None:
        """Take the reports of one stream, until it ends or is silent."""
        watch = channel.unary_stream(
            _METHOD, request_serializer=pb.WatchRequest.SerializeToString, response_deserializer=pb.Report.FromString
        )
        call = watch(pb.WatchRequest(pod=self._pod))
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    report = await call.read()
                if not isinstance(report, pb.Report):
                    return  # the end, in order
                self.connected.add(peer)
                if peer in self._unreachable:
                    self._unreachable.discard(peer)
                    log.info("Reached peer %s at %s again", *peer)
                if report.leaving:
                    self._take_over(report.lease)
                    self._changed(self._reports.forget(report.instance))
                    return
                if report.instance != self._instance:  # by whatever way we came to call ourselves
                    self._changed(self._reports.take(report.instance, read_shares(report), full=report.full))
                self._reported.add(peer)
        finally:
            call.cancel()
