"""The client of the API server: credentials that change, and answers without end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.cluster.harness import replica
from tests.gateway.cluster.watch_server import WatchServer, pod
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_token_is_read_anew(api: WatchServer, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    api.token = "first"
    async with replica(api, token_file=token) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        api.token = "second"
        api.cut()
        await until(lambda: found.replica.slice_watch.state.errors and "401" in found.replica.slice_watch.state.errors)
        token.write_text("second\n")
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: found.gateway.services["m"].backends, "it watches again")
        token.unlink()  # kubelet replaces it by renaming; there may be a moment without
        api.cut()
        await until(lambda: found.replica.slice_watch.state.last_error)
        token.write_text("second\n")
        await until(lambda: found.replica.slice_watch.state.connected)
    assert "second" not in str(found.replica.slice_watch.state)


async def test_an_event_without_end_is_given_up(api: WatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_gateway.cluster.api_client.MAX_EVENT_BYTES", 10_000)
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        await api.inject(b"x" * 20_000)
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: found.gateway.services["m"].backends, "it watches again")
