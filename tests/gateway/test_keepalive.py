"""Other ends that are gone without a word: the kernel finds them, and both kinds of connections ask it to."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway.support import HOST, Edge, answer, body, plays, post, running
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the names and the meaning of these options are Linux's"
)


def options(transport: Any) -> dict[str, int]:
    sock = transport.get_extra_info("socket")
    tcp = {
        name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    }
    return {"SO_KEEPALIVE": sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), **tcp}


SILENCE = {"SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


async def test_a_lost_node_is_noticed(edge: Edge, backend: Callable[..., Any]) -> None:
    """Also while a request was sent and not acknowledged."""
    found = await backend(plays(answer()))
    assert (await edge.ask(post())).status == 200
    (upstream,) = edge.gateway.services["m"].backends[f"r{found.port}"].pool
    assert options(upstream.transport) == {**SILENCE, "TCP_USER_TIMEOUT": 30_000}


@pytest.mark.parametrize("host", [HOST, ""])
async def test_a_lost_client_is_noticed(host: str) -> None:
    """But not one that does not read for a while: what it was sent may wait."""
    async with running(host=host) as edge:
        edge.serve("m")
        async with await edge.connect() as wire:
            wire.send(post(content=body()))
            await until(lambda: edge.gateway.stats("m").held)
            (connection,) = edge.gateway.connections
            assert options(connection.transport) == {**SILENCE, "TCP_USER_TIMEOUT": 0}
