"""Where the API server is and how to be known there: the pod's service account, else the kubeconfig.

kopf and the operator's own client use the same connection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kopf
import yaml

from hearth.api import HearthError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

TOKEN_LIFE = 60.0
"""Seconds after which the token is read again: the kubelet replaces it within its hour."""


class NoConnection(HearthError):
    """Nothing says where the API server is, or how to log in."""


@dataclass(slots=True)
class Connection:
    """How to reach the API server. `info` is what kopf wants to know; its token may be old, `headers` has the newest."""

    info: kopf.ConnectionInfo
    token_file: Path | None = None
    _read: float = field(default=-math.inf, repr=False)

    @property
    def server(self) -> str:
        return self.info.server.rstrip("/")

    def headers(self) -> Mapping[str, str]:
        """The Authorization header, or none where a certificate says who we are."""
        if self.token_file is not None and time.monotonic() - self._read > TOKEN_LIFE:
            self.info = replace(self.info, token=self.token_file.read_text(encoding="utf-8").strip())
            self._read = time.monotonic()  # last: kopf logs in from another thread, at the same time in the beginning
        return self.info.as_http_headers()

    def login(self) -> kopf.ConnectionInfo:
        """What kopf logs in with; with a token from a file it asks again before that one is replaced."""
        self.headers()
        if self.token_file is None:
            return self.info
        return replace(self.info, expiration=datetime.now(UTC) + timedelta(minutes=5))


def find_connection(environ: Mapping[str, str], account: Path = ACCOUNT) -> Connection:
    """Return the connection of this process. Raises NoConnection."""
    token = account / "token"
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if host and token.is_file():
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        return Connection(kopf.ConnectionInfo(server=server, ca_path=str(account / "ca.crt")), token)
    return Connection(_from_kubeconfig())


def _from_kubeconfig() -> kopf.ConnectionInfo:
    settings = kopf.OperatorSettings()
    try:
        info = kopf.login_with_kubeconfig(settings=settings)
    except (OSError, LookupError, TypeError, AttributeError, yaml.YAMLError, kopf.LoginError) as exc:
        raise NoConnection(f"the kubeconfig cannot be read: {exc}", "check KUBECONFIG") from exc
    if info is None or not info.server:
        raise NoConnection(
            "there is no cluster to talk to: no service account of a pod and no kubeconfig",
            "set KUBECONFIG, or run the operator in a cluster (helm install)",
        )
    if not (info.token or info.certificate_path or info.certificate_data or info.username):
        raise NoConnection(
            f"the kubeconfig has no token and no certificate for {info.server}",
            "logins through helper programs (exec) are not supported: use a token, or run the operator in the cluster",
        )
    return info
