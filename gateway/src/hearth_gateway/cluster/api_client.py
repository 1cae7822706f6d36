"""The client of the Kubernetes API: HTTP GETs, whole or line by line.

The gateway only reads, and only two kinds: for that the `kubernetes` package would cost 119 MB of image and 56 MB of memory.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import aiohttp
import msgspec

from hearth_gateway.cluster.access import Access
from hearth_gateway.http.keepalive import keep_alive

log = logging.getLogger("hearth.gateway")

MAX_PAGE_BYTES = 64 * 1024 * 1024
"""Bytes of one page of a list, at most."""

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Bytes of one event of a watch, at most: an object has up to 1.5 MiB, JSON in JSON a multiple of that."""

REQUEST_TIMEOUT = 30.0
"""Seconds for a page of a list."""

SILENCE = 90.0
"""Seconds without a byte until a watch counts as dead: bookmarks come about once a minute."""


class ApiError(Exception):
    """A refusal of the API server. `reason` is a short word for metrics."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.reason = str(status)


class _Deletion(msgspec.Struct, frozen=True, rename="camel"):
    deletion_timestamp: str | None = None


class _Namespace(msgspec.Struct, frozen=True):
    metadata: _Deletion = _Deletion()


class Status(msgspec.Struct, frozen=True):
    """A refusal as the API server writes it."""

    code: int = 0
    message: str = ""


_NAMESPACE = msgspec.json.Decoder(_Namespace)
_STATUS = msgspec.json.Decoder(Status)


class ApiClient:
    """An HTTP client of one API server."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._tls_stamp: tuple[int, int] | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def page(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return the whole answer to a GET. Raises ApiError, aiohttp.ClientError, OSError, TimeoutError."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
        async with self._get(path, query, timeout) as response:
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > MAX_PAGE_BYTES:
                    raise ApiError(response.status, f"{path}: a page of more than {MAX_PAGE_BYTES} bytes")
            return bytes(body)

    async def is_namespace_deleted(self) -> bool:
        """Return whether the namespace is being deleted, or gone; False when that cannot be known."""
        try:
            found = _NAMESPACE.decode(await self.page(f"/api/v1/namespaces/{self.access.namespace}", {}))
        except (ApiError, aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            log.info("Failed to read the Namespace: %s", str(error) or type(error).__name__)
            return isinstance(error, ApiError) and error.status == 404
        return found.metadata.deletion_timestamp is not None

    async def lines(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a streamed answer, first an empty one when the request was accepted.

        Raises as `page` does, TimeoutError after silence.
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
        """Return the TLS context with the cluster's CA, whose file may be replaced at any time."""
        path = self.access.ca_file
        if path is None:
            return True
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        if self._tls is None or stamp != self._tls_stamp:
            self._tls, self._tls_stamp = ssl.create_default_context(cafile=path), stamp
        return self._tls


def _socket(address: tuple[object, ...]) -> socket.socket:
    """Return a socket that notices within 30 s that its other end is gone without a word."""
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
