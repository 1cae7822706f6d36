"""The access to the API server: its address, and the files with the credentials."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hearth_gateway.errors import AccessError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The directory in which kubelet puts the credentials of the pod's service account."""


@dataclass(frozen=True, slots=True)
class Access:
    """The address of the API server, and the files with the credentials, which are read again when they change."""

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
    """Return the access that is given, and for the rest the one that a pod finds. Raises AccessError."""
    if server is None:
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise AccessError("this is not a pod (KUBERNETES_SERVICE_HOST is not set)", "give --api-server URL")
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
        raise AccessError(f"--api-server: {server!r} is not a URL", "give one such as https://10.96.0.1:443")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise AccessError(f"--api-server: {server!r} would send the token in clear text", "use https")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_namespace(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise AccessError(f"the namespace is not known ({path}: {error.strerror})", "set POD_NAMESPACE") from error
