"""The Kubernetes API as the gateway uses it: list, then watch, and never give up.

Only reading, and only two kinds: for that the `kubernetes` package would cost 119 MB of image and 56 MB of memory.
What was read stays in use while the API server is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from hearth_gateway.http.keepalive import keep_alive

log = logging.getLogger("hearth.gateway")

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PAGE = 500  # objects of a list that are asked for at once
MAX_PAGE_BYTES = 64 * 1024 * 1024
MAX_EVENT_BYTES = 16 * 1024 * 1024  # an object has at most 1.5 MiB, JSON in JSON a multiple of that
REQUEST_TIMEOUT = 30.0  # seconds for a page of a list
WATCH_SECONDS = 300.0  # the server is asked to end a watch after so long, more or less
SILENCE = 90.0  # seconds without a byte until a watch counts as dead: bookmarks come about once a minute
FIRST_DELAY = 0.2  # seconds until the second attempt; doubled for each further one
MAX_DELAY = 3.0
HEALTHY = 5.0  # seconds that a watch must live for the delays to start from the first one again


class AccessError(Exception):
    """The API server cannot be reached with what is configured; the message says what to give."""


class ApiError(Exception):
    """The API server refused. ``reason`` is a short word for metrics."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.reason = str(status)


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What the gateway reads of an object's metadata."""

    name: str = ""
    labels: dict[str, str] | None = None
    resource_version: str = ""


class _ListMeta(msgspec.Struct, frozen=True, rename={"resource_version": "resourceVersion", "more": "continue"}):
    resource_version: str = ""
    more: str = ""


class _List(msgspec.Struct, frozen=True):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Object(msgspec.Struct, frozen=True):
    metadata: Metadata = Metadata()


class _Deletion(msgspec.Struct, frozen=True, rename="camel"):
    deletion_timestamp: str | None = None


class _Namespace(msgspec.Struct, frozen=True):
    metadata: _Deletion = _Deletion()


class _Status(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""


_LIST = msgspec.json.Decoder(_List)
_EVENT = msgspec.json.Decoder(_Event)
_OBJECT = msgspec.json.Decoder(_Object)
_NAMESPACE = msgspec.json.Decoder(_Namespace)
_STATUS = msgspec.json.Decoder(_Status)


# ---------------------------------------------------------------- access


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is, and how to prove who asks. The files are read again when they change."""

    server: str
    namespace: str
    token_file: Path | None = None
    ca_file: Path | None = None


def find_access(
    environ: Mapping[str, str],
    *,
    server: str | None = None,
    namespace: str | None = None,
    token_file: Path | None = None,
    ca_file: Path | None = None,
    account: Path = ACCOUNT,
) -> Access:
    """What is given, and for the rest what a pod finds in its environment. Raises AccessError."""
    if server is None:
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise AccessError("this is not a pod (KUBERNETES_SERVICE_HOST is not set); give --api-server URL")
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        token_file = token_file or account / "token"
        ca_file = ca_file or account / "ca.crt"
    _check_server(server)
    if namespace is None:
        namespace = environ.get("POD_NAMESPACE") or _read_namespace(account / "namespace")
    return Access(server.rstrip("/"), namespace, token_file, ca_file)


def _check_server(server: str) -> None:
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AccessError(f"--api-server: {server!r} is not a URL; give one such as https://10.96.0.1:443")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise AccessError(f"--api-server: {server!r} would send the token in clear text; use https")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_namespace(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise AccessError(f"the namespace is not known ({path}: {error.strerror}); set POD_NAMESPACE") from error


class Client:
    """HTTP to one API server."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._tls_stamp: tuple[int, int] | None = None

    async def close(self) -> None:
        """Give up every connection."""
        if self._session is not None:
            await self._session.close()

    async def page(self, path: str, query: Mapping[str, str]) -> bytes:
        """A GET, whole. Raises ApiError, aiohttp.ClientError, OSError, TimeoutError."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
        async with self._get(path, query, timeout) as response:
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > MAX_PAGE_BYTES:
                    raise ApiError(response.status, f"{path}: a page of more than {MAX_PAGE_BYTES} bytes")
            return bytes(body)

    async def namespace_ends(self) -> bool:
        """Whether the namespace is being deleted, or gone; False when that cannot be known."""
        try:
            found = _NAMESPACE.decode(await self.page(f"/api/v1/namespaces/{self.access.namespace}", {}))
        except (ApiError, aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            log.info("cannot read the namespace: %s", str(error) or type(error).__name__)
            return isinstance(error, ApiError) and error.status == 404
        return found.metadata.deletion_timestamp is not None

    async def lines(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """A GET that streams lines; an empty one says that it was accepted. Ends when the server ends it.

        Raises as ``page`` does, TimeoutError after silence.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE)
        async with self._get(path, query, timeout) as response:
            yield b""
            rest = b""
            async for piece in response.content.iter_any():
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    if line:
                        yield line
                if len(rest) > MAX_EVENT_BYTES:
                    raise ApiError(response.status, f"{path}: an event of more than {MAX_EVENT_BYTES} bytes")

    @contextlib.asynccontextmanager
    async def _get(
        self, path: str, query: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8, socket_factory=_socket))
        headers = {"Accept": "application/json"}
        if self.access.token_file is not None:  # kubelet writes a new token every hour or so
            headers["Authorization"] = f"Bearer {self.access.token_file.read_text(encoding='ascii').strip()}"
        async with self._session.get(
            self.access.server + path,
            params=query,
            headers=headers,
            timeout=timeout,
            ssl=self._context(),
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise await _refusal(response)
            yield response

    def _context(self) -> ssl.SSLContext | bool:
        """TLS with the cluster's authority; the file may be replaced while we run."""
        path = self.access.ca_file
        if path is None:
            return True
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        if self._tls is None or stamp != self._tls_stamp:
            self._tls, self._tls_stamp = ssl.create_default_context(cafile=path), stamp
        return self._tls


def _socket(address: tuple[object, ...]) -> socket.socket:
    """A connection that notices within 30 s that its other end is gone without a word."""
    family, kind, protocol = address[0], address[1], address[2]
    found = socket.socket(family, kind, protocol)  # type: ignore[arg-type]
    keep_alive(found)
    return found


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    body = await response.content.read(4096)
    try:
        message = _STATUS.decode(body).message
    except msgspec.DecodeError:
        message = ""
    return ApiError(response.status, message or response.reason or "no reason given")


# ---------------------------------------------------------------- list and watch

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """Who wants to know the objects."""

    def listed(self, objects: Sequence[T_contra]) -> None:
        """All of them; what is not among them is gone."""

    def changed(self, found: T_contra) -> None:
        """One was added or changed."""

    def deleted(self, found: T_contra) -> None:
        """One is gone."""


@dataclass(slots=True)
class WatchState:
    """What /metrics and /readyz say of one watch."""

    resource: str
    synced: bool = False  # it was listed once
    connected: bool = False
    fresh_at: float = 0.0  # until when what was read was up to date, while not connected; the event loop's seconds
    last_error: str = ""
    errors: dict[str, int] | None = None

    def count(self, reason: str, message: str) -> None:
        """One more failure."""
        self.errors = self.errors or {}
        self.errors[reason] = self.errors.get(reason, 0) + 1
        self.last_error = message


class Reflector(Generic[T]):
    """Keeps a sink up to date with one kind of object of a namespace, whatever the API server does."""

    def __init__(
        self,
        client: Client,
        *,
        resource: str,
        path: str,
        kind: type[T],
        sink: Sink[T],
        query: Mapping[str, str] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.state = WatchState(resource)
        self._client = client
        self._path = path
        self._query = dict(query or {})
        self._decoder = msgspec.json.Decoder(kind)
        self._sink = sink
        self._jitter = jitter
        self._version: str | None = None  # of the last event; None: list first

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while True:
            begun = loop.time()
            wait = await self._attempt()
            if self.state.connected:
                self.state.connected = False
                self.state.fresh_at = loop.time()
            if loop.time() - begun >= HEALTHY:
                delay = FIRST_DELAY
                if wait is None:
                    continue
            # Half to one and a half of the delay, so that replicas do not come back in one instant.
            await asyncio.sleep(max(delay * (0.5 + self._jitter()), wait or 0.0))
            delay = min(MAX_DELAY, delay * 2)

    async def _attempt(self) -> float | None:
        """List if need be, then watch until that ends. Returns None when it ended in order, else seconds to wait at least."""
        try:
            if self._version is None:
                self._version = await self._list()
            await self._watch(self._version)
        except ApiError as error:
            if error.status == 410:
                self._version = None  # what comes next is too old to be known: everything is read again
            return self._failed(error.reason, str(error), 1.0 if error.status == 429 else 0.0)
        except TimeoutError as error:
            return self._failed("timeout", str(error) or "no answer in time")
        except (aiohttp.ClientError, OSError) as error:
            return self._failed("connection", str(error) or type(error).__name__)
        except msgspec.DecodeError as error:
            self._version = None
            return self._failed("decode", str(error))
        except Exception as error:
            log.exception("watching %s failed", self.state.resource)
            self._version = None
            return self._failed("internal", repr(error))
        return None

    def _failed(self, reason: str, message: str, wait: float = 0.0) -> float:
        if message != self.state.last_error:
            log.warning("cannot watch %s: %s; what is known stays in use", self.state.resource, message)
        self.state.count(reason, message)
        return wait

    async def _list(self) -> str:
        objects: list[T] = []
        query = {**self._query, "limit": str(PAGE)}
        while True:
            page = _LIST.decode(await self._client.page(self._path, query))
            objects += [found for raw in page.items or () if (found := self._decode(raw)) is not None]
            if not page.metadata.more:
                break
            query["continue"] = page.metadata.more
        self._sink.listed(objects)
        self.state.synced = True
        self.state.fresh_at = asyncio.get_running_loop().time()
        return page.metadata.resource_version

    async def _watch(self, version: str) -> None:
        query = {
            **self._query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(round(WATCH_SECONDS * (0.75 + self._jitter() / 2))),
        }
        async with contextlib.aclosing(self._client.lines(self._path, query)) as lines:
            async for line in lines:
                if line:
                    self._event(line)
                self._well()

    def _event(self, line: bytes) -> None:
        event = _EVENT.decode(line)
        if event.type == "ERROR":
            status = _STATUS.decode(event.object)
            raise ApiError(status.code, status.message)
        if event.type != "BOOKMARK":
            found = self._decode(event.object)
            if found is not None and event.type == "DELETED":
                self._sink.deleted(found)
            elif found is not None:
                self._sink.changed(found)
        self._version = _OBJECT.decode(event.object).metadata.resource_version or self._version

    def _decode(self, raw: msgspec.Raw) -> T | None:
        """One object; one that cannot be understood is left out, and must not hide the others."""
        try:
            return self._decoder.decode(raw)
        except msgspec.DecodeError as error:
            self.state.count("decode", str(error))
            log.warning("an object of %s is left out: %s", self.state.resource, error)
            return None

    def _well(self) -> None:
        self.state.connected = True
        if self.state.last_error:
            log.info("watching %s again", self.state.resource)
            self.state.last_error = ""


__all__ = ["Access", "AccessError", "ApiError", "Client", "Metadata", "Reflector", "Sink", "WatchState", "find_access"]
