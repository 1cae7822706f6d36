"""Clients as users have them: OpenAI's library, talking to `http://NAME.NAMESPACE.svc/v1`.

The cluster's DNS is not the host's. In its place, a transport reads a Service's address from the API and
leaves the URL, and so the Host header, as the client wrote it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from tests.cluster.kube import Kube

PROMPT = [{"role": "user", "content": "Are you awake?"}]


def tokens(count: int) -> str:
    """Return what the stub says with `count` tokens."""
    return " ".join(["Hello", *map(str, range(1, count))])


class Addresses:
    """Service names to their ClusterIPs."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._known: dict[str, str] = {}

    def pin(self, host: str, address: str) -> None:
        """Lead a host to one address, such as that of one pod of the gateway."""
        self._known[host] = address

    async def of(self, host: str) -> str:
        """Return the address of `NAME.NAMESPACE.svc`, once there is one; any other host is an address already."""
        if not host.endswith(".svc"):
            return host
        if host not in self._known:
            name, namespace, _ = host.split(".")
            found = await self._kube.until("Service", name, namespace, lambda each: each["spec"].get("clusterIP"))
            self._known[host] = found["spec"]["clusterIP"]
        return self._known[host]


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._inner = httpx2.AsyncHTTPTransport(verify=False, limits=httpx2.Limits(max_connections=None))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        address = await self._addresses.of(request.url.host)
        request.url = request.url.copy_with(host=address)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def http_client(addresses: Addresses, seconds: float = 120, connect: float = 30) -> httpx2.AsyncClient:
    """Return a plain HTTP client that knows the Services."""
    timeout = httpx2.Timeout(seconds, connect=connect)
    return httpx2.AsyncClient(transport=_Transport(addresses), timeout=timeout, trust_env=False)


def openai_client(
    addresses: Addresses, host: str, seconds: float = 120, retries: int = 0, port: int = 80
) -> openai.AsyncOpenAI:
    """Return OpenAI's client, by default without retries, so that a lost request is seen."""
    return openai.AsyncOpenAI(
        base_url=f"http://{host}:{port}/v1",
        api_key="unused",
        max_retries=retries,
        http_client=http_client(addresses, seconds),
    )


@dataclass
class Answer:
    """What one request came to; times are seconds since it was sent."""

    tag: str
    text: str = ""
    finish: str | None = None
    error: Exception | None = None
    first: float | None = None  # the first token
    seconds: float = 0.0
    comments: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status; 0: the connection failed or was cut."""
        if self.error is None:
            return 200
        return getattr(self.error, "status_code", 0) or 0

    @property
    def reason(self) -> str:
        """The gateway's word for an error: the X-Hearth-Reason header, or the code of an error event."""
        response = getattr(self.error, "response", None)
        return str(response.headers.get("x-hearth-reason", "")) if response is not None else ""

    def ok(self, count: int) -> bool:
        """Complete and as the stub says it."""
        return self.error is None and (self.text, self.finish) == (tokens(count), "stop")


async def ask(
    client: openai.AsyncOpenAI,
    model: str,
    tag: str,
    *,
    stream: bool = False,
    query: dict[str, Any] | None = None,
    started: asyncio.Event | None = None,
) -> Answer:
    """Send one request. An error is in the answer, not raised; `started` is set at the first token."""
    answer = Answer(tag)
    begin = time.monotonic()
    try:
        await (_stream if stream else _unary)(client, model, answer, {"tag": tag, **(query or {})}, begin, started)
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        answer.error = error
    answer.seconds = time.monotonic() - begin
    return answer


async def _unary(
    client: openai.AsyncOpenAI,
    model: str,
    answer: Answer,
    query: dict[str, Any],
    begin: float,
    started: asyncio.Event | None,
) -> None:
    raw = await client.chat.completions.with_raw_response.create(model=model, messages=PROMPT, extra_query=query)  # type: ignore[arg-type]
    answer.headers = {name.lower(): value for name, value in raw.headers.items()}
    choice = raw.parse().choices[0]
    answer.text, answer.finish = choice.message.content or "", choice.finish_reason
    answer.first = time.monotonic() - begin
    if started is not None:
        started.set()


async def _stream(
    client: openai.AsyncOpenAI,
    model: str,
    answer: Answer,
    query: dict[str, Any],
    begin: float,
    started: asyncio.Event | None,
) -> None:
    chunks = await client.chat.completions.create(model=model, messages=PROMPT, stream=True, extra_query=query)  # type: ignore[arg-type]
    answer.headers = {name.lower(): value for name, value in chunks.response.headers.items()}
    async for chunk in chunks:
        for choice in chunk.choices:
            if choice.delta.content:
                answer.text += choice.delta.content
                if answer.first is None:
                    answer.first = time.monotonic() - begin
                    if started is not None:
                        started.set()
            answer.finish = choice.finish_reason or answer.finish


@contextlib.asynccontextmanager
async def raw_stream(
    client: httpx2.AsyncClient, url: str, model: str, **query: Any
) -> AsyncIterator[tuple[httpx2.Response, AsyncIterator[str]]]:
    """Send a streamed chat request; yield the response and its lines, comments and all."""
    body = {"model": model, "messages": PROMPT, "stream": True}
    async with client.stream("POST", f"{url}/v1/chat/completions", params=query, json=body) as response:
        yield response, response.aiter_lines()
