"""The client against a small HTTP server: what is sent, and which error an answer becomes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hearth.operator.kubernetes import client
from hearth.operator.kubernetes.client import ApiClient
from hearth.operator.kubernetes.connection import Connection
from hearth.operator.kubernetes.errors import (
    ApiError,
    Conflict,
    Forbidden,
    InternalError,
    Invalid,
    NamespaceGoing,
    NotFound,
    NotServed,
    Unavailable,
)
from hearth.operator.kubernetes.kinds import DEPLOYMENT, INFERENCE_RUNTIME, POD, SCALED_OBJECT

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers with what a test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[web.Response | Answer] = []
        self.asked: list[tuple[str, str, dict[str, str], str | None, bytes]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(
            (request.method, request.path, dict(request.query), request.headers.get("Content-Type"), body)
        )
        answer = self.answers.pop(0)
        return answer if isinstance(answer, web.Response) else await answer(request)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[ApiClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as http:
        connection = Connection(kopf.ConnectionInfo(server=str(http.make_url("/")), token="t"))
        async with ApiClient(connection, timeout=0.5) as client:
            yield client


def status(code: int, message: str = "", **details: Any) -> web.Response:
    return web.json_response({"kind": "Status", "message": message, "details": details}, status=code)


async def test_apply_is_a_patch_with_a_manager(api: ApiClient, server: Server) -> None:
    server.answers = [web.json_response({"metadata": {}})]
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "m", "namespace": "ns"}}
    await api.apply(DEPLOYMENT, body, manager="me", force=True)
    method, path, query, content, sent = server.asked[0]
    assert (method, path) == ("PATCH", "/apis/apps/v1/namespaces/ns/deployments/m")
    assert query == {"fieldManager": "me", "force": "true"}
    assert content == "application/apply-patch+yaml"
    assert b'"name":"m"' in sent


async def test_lists_come_page_by_page(api: ApiClient, server: Server) -> None:
    server.answers = [
        web.json_response({"metadata": {"continue": "more"}, "items": [{"n": 1}, {"n": 2}]}),
        web.json_response({"metadata": {}, "items": [{"n": 3}]}),
    ]
    assert [item["n"] async for item in api.list(POD, labels="a=b")] == [1, 2, 3]
    assert [query for _, _, query, _, _ in server.asked] == [
        {"limit": "500", "labelSelector": "a=b"},
        {"limit": "500", "labelSelector": "a=b", "continue": "more"},
    ]


async def test_kinds_of_the_cluster_have_no_namespace_in_their_path(api: ApiClient, server: Server) -> None:
    server.answers = [web.json_response({})]
    await api.get(INFERENCE_RUNTIME, "ns", "r")
    assert server.asked[0][1] == "/apis/serving.hearth.dev/v1alpha1/inferenceruntimes/r"


@pytest.mark.parametrize(
    ("answer", "error", "retriable"),
    [
        (lambda: status(404, "not found", name="m", kind="deployments"), NotFound, True),
        (lambda: web.Response(status=404, text="404 page not found"), NotServed, True),
        (lambda: status(409, "conflict", name="m"), Conflict, True),
        (lambda: status(403, "forbidden: quota"), Forbidden, True),
        (lambda: status(403, "terminating", causes=[{"reason": "NamespaceTerminating"}]), NamespaceGoing, False),
        (lambda: status(422, "invalid"), Invalid, False),
        (lambda: status(500, "failed to create typed patch object: duplicate entries for key"), Invalid, False),
        (lambda: status(500, "failed calling webhook"), InternalError, True),
        (lambda: status(503, "etcdserver: request timed out"), Unavailable, True),
        (lambda: status(401, "Unauthorized"), Unavailable, True),
        (lambda: web.Response(status=502, text="<html>"), Unavailable, True),
    ],
)
async def test_answers_become_errors(
    api: ApiClient, server: Server, answer: Callable[[], web.Response], error: type[ApiError], retriable: bool
) -> None:
    server.answers = [answer()]
    with pytest.raises(ApiError) as caught:
        await api.get(DEPLOYMENT, "ns", "m")
    assert type(caught.value) is error
    assert caught.value.retriable is retriable
    assert "/deployments/m" in caught.value.message


async def test_a_busy_server_is_asked_again(api: ApiClient, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.0)
    server.answers = [status(429, "slow down"), web.json_response({"ok": True})]
    assert await api.get(DEPLOYMENT, "ns", "m") == {"ok": True}


async def test_a_server_that_stays_busy_is_unavailable(
    api: ApiClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.0)
    server.answers = [status(429, "slow down") for _ in range(client.TRIES)]
    with pytest.raises(Unavailable):
        await api.get(DEPLOYMENT, "ns", "m")


async def test_no_answer_in_time_is_an_error(api: ApiClient, server: Server) -> None:
    import asyncio

    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    server.answers = [never]
    with pytest.raises(Unavailable, match="no answer"):
        await api.get(DEPLOYMENT, "ns", "m")


async def test_what_is_gone_or_another_one_needs_no_deletion(api: ApiClient, server: Server) -> None:
    server.answers = [status(404, "not found", name="m"), status(409, "uid differs", name="m")]
    await api.delete(DEPLOYMENT, "ns", "m", uid="u")
    await api.delete(DEPLOYMENT, "ns", "m", uid="u")
    assert b'"preconditions":{"uid":"u"}' in server.asked[0][4]


async def test_whether_a_kind_is_served(api: ApiClient, server: Server) -> None:
    server.answers = [
        web.json_response({"resources": [{"name": "scaledobjects"}]}),
        web.json_response({"resources": [{"name": "triggerauthentications"}]}),
        web.Response(status=404, text="404 page not found"),
    ]
    assert [await api.serves(SCALED_OBJECT) for _ in range(3)] == [True, False, False]
