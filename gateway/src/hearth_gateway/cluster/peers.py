"""The other replicas of the gateway: they are told what is held here, and asked what is held there.

Each replica opens one stream to each other; the first message is the whole state, then changes come: beginnings and ends of
demand at once, counts twice a second. Whoever is silent is asked again, and believed for as long as ``reports.EXPIRY``.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import grpc

from hearth_gateway.cluster.rpc import peers_pb2 as pb
from hearth_gateway.policy.reports import EXPIRY, NOTHING, Reports, Share

log = logging.getLogger("hearth.gateway")

TICK = 0.5  # seconds between two looks for changed counts
HEARTBEAT = 1.0  # seconds between two messages, changes or not
SILENCE = 4.0  # seconds without a message until a stream counts as broken
FIRST_DELAY = 0.1  # seconds until a broken stream is opened again; doubled for each further attempt
MAX_DELAY = 2.0
UNREACHABLE_AFTER = EXPIRY  # seconds without a stream until the log says so: who starts or ends is no trouble
_METHOD = "/hearth.gateway.Peers/Watch"
# Of its own, so that the library's waiting between attempts to connect (up to 120 s) is not ours.
# And past any proxy of the environment, which knows no pods.
_CHANNEL = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0))

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def told(shares: Mapping[str, Share]) -> dict[str, Any]:
    """The fields of a report that say this."""
    return {
        "demand": {name: share.demand for name, share in shares.items()},
        "idle": [name for name, share in shares.items() if share.wanted and not share.requests],
    }


def heard(report: pb.Report) -> dict[str, Share]:
    """What a report says."""
    idle = frozenset(report.idle)
    return {name: Share(0 if name in idle else value, value > 0) for name, value in report.demand.items()}


class _Feed:
    """One other replica that listens."""

    __slots__ = ("ended", "news", "sent")

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.ended = False
        self.sent: dict[str, Share] = {}


class PeerServer:
    """Tells the others what is held here. ``state`` gives the services with demand."""

    def __init__(
        self, instance: str, state: Callable[[], Mapping[str, Share]], leases: Callable[[], Mapping[str, float]]
    ) -> None:
        self._instance = instance
        self._state = state
        self._leases = leases
        self._feeds: set[_Feed] = set()

    def handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server is to be given."""
        watch = grpc.unary_stream_rpc_method_handler(
            self._watch, pb.WatchRequest.FromString, pb.Report.SerializeToString
        )
        return grpc.method_handlers_generic_handler("hearth.gateway.Peers", {"Watch": watch})

    def changed(self) -> None:
        """Demand began or ended: tell it now."""
        for feed in self._feeds:
            feed.news.set()

    def end_streams(self) -> None:
        """End every open stream, and say that nothing is held here any more."""
        for feed in self._feeds:
            feed.ended = True
            feed.news.set()

    async def _watch(self, _request: pb.WatchRequest, context: Context) -> None:
        loop = asyncio.get_running_loop()
        feed = _Feed()
        self._feeds.add(feed)
        try:
            feed.sent = dict(self._state())
            await context.write(pb.Report(instance=self._instance, full=True, **told(feed.sent)))
            last = loop.time()
            while not feed.ended:
                try:
                    async with asyncio.timeout(TICK):
                        await feed.news.wait()
                except TimeoutError:
                    pass
                feed.news.clear()
                state = dict(self._state())
                news = {name: share for name, share in state.items() if feed.sent.get(name) != share}
                news.update(dict.fromkeys(feed.sent.keys() - state.keys(), NOTHING))
                if news or loop.time() - last >= HEARTBEAT:
                    feed.sent = state
                    await context.write(pb.Report(instance=self._instance, **told(news)))
                    last = loop.time()
            await context.write(pb.Report(instance=self._instance, full=True, leaving=True, lease=self._leases()))
        finally:
            self._feeds.discard(feed)


class PeerClient:
    """Asks the others, and keeps ``reports`` up to date. ``changed`` hears which services that concerns, ``inherit`` the leases of
    one that goes."""

    def __init__(
        self,
        pod: str,
        instance: str,
        reports: Reports,
        *,
        changed: Callable[[Iterable[str]], None],
        inherit: Callable[[Mapping[str, float]], None],
    ) -> None:
        self._pod = pod
        self._instance = instance
        self._reports = reports
        self._changed = changed
        self._inherit = inherit
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._heard: set[tuple[str, str]] = set()  # who has told its state
        self._unreachable: set[tuple[str, str]] = set()  # of whom the log has said so
        self.connected: set[tuple[str, str]] = set()
        self.errors = 0

    def follow(self, targets: Mapping[str, str]) -> None:
        """These are the others now: gRPC targets by pod. Who is not among them is asked no more; its report expires."""
        wanted = set(targets.items())
        for peer in [peer for peer in self._tasks if peer not in wanted]:
            self._tasks.pop(peer).cancel()
        for peer in wanted - self._tasks.keys():
            self._heard.discard(peer)
            self._unreachable.discard(peer)
            self._tasks[peer] = asyncio.get_running_loop().create_task(self._ask(peer), name=f"peer {peer[0]}")

    @property
    def peers(self) -> int:
        """How many others there are."""
        return len(self._tasks)

    def all_heard(self) -> bool:
        """Whether each of the others has told its state."""
        return self._tasks.keys() <= self._heard

    async def stop(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, peer: tuple[str, str]) -> None:
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        lost_at = loop.time()
        while True:
            why = "it ended its stream"
            try:
                async with grpc.aio.insecure_channel(peer[1], options=_CHANNEL) as channel:
                    await self._listen(peer, channel)
            except TimeoutError:
                why = f"it was silent for {SILENCE:g} s"
            except grpc.aio.AioRpcError as error:
                why = error.details() or error.code().name
            finally:
                was_connected = peer in self.connected
                self.connected.discard(peer)
            if was_connected:
                log.info("peer %s at %s: %s; what it held counts for %g s more", *peer, why, EXPIRY)
                delay = FIRST_DELAY
                lost_at = loop.time()
            else:
                self.errors += 1
                if peer not in self._unreachable and loop.time() >= lost_at + UNREACHABLE_AFTER:
                    self._unreachable.add(peer)
                    log.warning("peer %s at %s cannot be reached: %s; what it holds is not counted here", *peer, why)
            await asyncio.sleep(delay * (0.5 + random.random()))  # noqa: S311 - no secret
            delay = min(MAX_DELAY, delay * 2)

    async def _listen(self, peer: tuple[str, str], channel: grpc.aio.Channel) -> None:
        """Until the stream ends or is silent."""
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
                    log.info("peer %s at %s is reached again", *peer)
                if report.leaving:
                    self._inherit(report.lease)
                    self._changed(self._reports.forget(report.instance))
                    return
                if report.instance != self._instance:  # by whatever way we came to ask ourselves
                    self._changed(self._reports.take(report.instance, heard(report), full=report.full))
                self._heard.add(peer)
        finally:
            call.cancel()
