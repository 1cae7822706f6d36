"""The reflector keeps up with an API server, whatever that does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.cluster.harness import replica
from tests.gateway.cluster.watch_server import WatchServer, pod
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_watch_that_breaks_goes_on_where_it_was(api: WatchServer) -> None:
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        for count in range(1, 4):
            await api.slice("m-backend", pod(name=f"p{count}"), port=count)
            await until(lambda: f"uid-p{count}" in found.gateway.services["m"].backends)  # noqa: B023
            api.cut()
            await until(lambda: len(api.watches["endpointslices"]) > count)  # noqa: B023
        assert api.lists == {"configmaps": 1, "endpointslices": 1}
        assert api.watches["endpointslices"][-1] > api.watches["endpointslices"][0]
        assert found.replica.slice_watch.state.errors == {"connection": 3}


async def test_a_version_that_is_too_old_is_listed_anew(api: WatchServer) -> None:
    """What went missing in the gap is noticed: a backend that is gone, a service that is gone."""
    await api.services("m", "n")
    await api.slice("m-backend", pod(), port=1)
    async with replica(api) as found:
        await found.ready()
        assert found.gateway.services["m"].backends
        api.deaf = True
        await api.delete("endpointslices", "m-backend-1")
        await api.services("m")
        await api.compact()
        api.deaf = False
        await until(lambda: not found.gateway.services["m"].backends, "the backend is gone")
        await until(lambda: set(found.gateway.services) == {"m"}, "the service is gone")
        assert api.lists == {"configmaps": 2, "endpointslices": 2}
        assert found.gateway.ready


async def test_a_bookmark_moves_the_version(api: WatchServer) -> None:
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        await api.compact()  # as if others' objects had changed; both watches get the error
        await until(lambda: len(api.watches["endpointslices"]) == 2 and api.lists["endpointslices"] == 2)
        await api.put("configmaps", {"metadata": {"name": "other"}})
        await api.bookmark()
        version = str(api._version)
        await until(lambda: found.replica.slice_watch._version == version)
        api.cut()
        await until(lambda: api.watches["endpointslices"][-1] == version)
        assert api.lists["endpointslices"] == 2


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b'{"type": "ADDED"}\n',
        b'{"type": "ADDED", "object": {"metadata": {"name": 7}}}\n',
        b'{"type": "ADDED", "object": []}\n',
        b'{"type": "NEWS", "object": {}}\n',
        b'{"type": "ERROR", "object": {"code": 500, "message": "etcd is ill"}}\n',
        b"x" * 3000 + b"\n",
    ],
)
async def test_nonsense_in_a_watch_ends_nothing(line: bytes, api: WatchServer) -> None:
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        await api.inject(line)
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: found.gateway.services["m"].backends, "it watches again")
        assert found.gateway.ready


async def test_a_silent_watch_is_given_up(api: WatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_gateway.cluster.api_client.SILENCE", 0.2)
    async with replica(api) as found:
        await found.ready()
        api.deaf = True
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: "timeout" in (found.replica.slice_watch.state.errors or {}))
        api.deaf = False
        await until(lambda: found.gateway.services["m"].backends, "it watches again")
        assert api.lists["endpointslices"] == 1


async def test_long_lists_come_in_pages(api: WatchServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_gateway.cluster.reflector.PAGE", 3)
    for index in range(8):
        await api.slice("m-backend", pod(name=f"p{index}"), port=1, name=f"s{index}")
    async with replica(api) as found:
        await found.ready()
        assert len(found.gateway.services["m"].backends) == 8
        assert api.lists["endpointslices"] == 3


async def test_a_mistake_of_ours_does_not_end_the_watch(
    api: WatchServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with replica(api) as found:
        await found.ready()
        await until(lambda: all(api.watches.values()))
        take = found.replica.backends.changed
        broken = [True]

        def once(changed: Any) -> None:
            if broken.pop() if broken else False:
                raise KeyError("oops")
            take(changed)

        monkeypatch.setattr(found.replica.backends, "changed", once)
        await api.slice("m-backend", pod(), port=1)
        await until(lambda: found.gateway.services["m"].backends, "it was listed again")
        assert "oops" in caplog.text
