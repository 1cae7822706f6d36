"""Connection to the API server: its address and the credentials for it.

kopf and the operator's own client use the same connection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import kopf

from hearth.api import HearthError

TOKEN_LIFE = 60.0
"""Seconds after which the token is read again: the kubelet replaces it within its hour."""


class NoConnection(HearthError):
    """The API server is not known, or the credentials for it are not."""


@dataclass(slots=True)
class Connection:
    """Address and credentials of the API server.

    `info` is what kopf takes; its token may be old. `read_token` returns the newest one; None without a token that changes.
    """

    info: kopf.ConnectionInfo
    read_token: Callable[[], str] | None = None
    _read_at: float = field(default=-math.inf, repr=False)

    @property
    def server(self) -> str:
        """Address of the API server."""
        return self.info.server.rstrip("/")

    def headers(self) -> Mapping[str, str]:
        """Return the Authorization header, or none where a certificate is the credential."""
        if self.read_token is not None and time.monotonic() - self._read_at > TOKEN_LIFE:
            self.info = replace(self.info, token=self.read_token())
            self._read_at = time.monotonic()  # last: kopf logs in from a thread, at the same time at the start
        return self.info.as_http_headers()

    def login(self) -> kopf.ConnectionInfo:
        """Return what kopf logs in with. It expires where the token may change, so that kopf asks again."""
        self.headers()
        if self.read_token is None:
            return self.info
        return replace(self.info, expiration=datetime.now(UTC) + timedelta(minutes=5))
