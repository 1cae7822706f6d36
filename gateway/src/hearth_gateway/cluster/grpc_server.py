"""The gRPC port of a gateway in a cluster, which KEDA and the other replicas call."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Sequence

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # before the library is loaded: it reports every lost connection

import grpc

from hearth_gateway.errors import ListenError
from hearth_gateway.listen import ListenAddress

log = logging.getLogger("hearth.gateway")

MAX_RPCS = 10_000
"""Calls at one time, at most; a service that is scaled to zero has one open stream of KEDA."""

FOREVER = 86_400.0
"""Seconds that streams may last at a server which takes no more calls."""

STOP_GRACE = 1.0
"""Seconds for streams to end in order."""

_OPTIONS = (
    ("grpc.so_reuseport", 1),  # so that a second server can take the port over from the first, see turn
    ("grpc.max_receive_message_length", 8 * 1024),  # a name, a namespace and a ScaledObject's metadata
    ("grpc.keepalive_time_ms", 30_000),  # notice that the other end is gone without a word
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class GrpcServer:
    """One port, served by `handlers`."""

    def __init__(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._handlers = handlers
        self._server: grpc.aio.Server | None = None
        self._turned: asyncio.Task[None] | None = None
        self._address = ListenAddress("", 0)

    async def start(self, address: ListenAddress) -> None:
        """Listen. Raises ListenError."""
        if not address.host:
            every = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - that is what is asked for
            address = address._replace(host=every)
        self._address = address
        self._server = await self._listen()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._address.port

    async def turn(self, end_streams: Callable[[], None]) -> None:
        """Make every client open a new connection for its next call, while this port goes on answering.

        A client keeps its connection for as long as it can: KEDA would go on calling a replica that is about to stop, and get no
        answer for a while when it stops. A server that stops sends GOAWAY, and the Service then leads KEDA to a replica that is
        ready. The other replicas, which call by address, find a second server on the same port. Streams go on, unless
        `end_streams` ends them.
        """
        old = self._server
        if old is None:
            return
        try:
            self._server = await self._listen()
        except ListenError as error:
            log.warning("Failed to take over the gRPC port: %s; existing connections are kept", error.message)
            return
        self._turned = asyncio.create_task(old.stop(FOREVER))
        await asyncio.sleep(0)  # GOAWAY goes first, so that nobody opens another stream there
        end_streams()

    async def stop(self, end_streams: Callable[[], None]) -> None:
        """End every stream in order, then close."""
        end_streams()
        if self._server is not None:
            await self._server.stop(STOP_GRACE)
        if self._turned is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._turned, STOP_GRACE)

    async def _listen(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MAX_RPCS)
        server.add_generic_rpc_handlers(tuple(self._handlers))
        try:
            port = server.add_insecure_port(str(self._address))
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {self._address}: {error}", "give another --scaler-listen") from error
        self._address = self._address._replace(port=port)
        await server.start()
        return server
