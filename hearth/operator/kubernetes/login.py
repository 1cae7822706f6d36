"""Login to the API server: by the service account of the pod, or else by the kubeconfig."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import kopf

from hearth.operator.kubernetes.connection import Connection
from hearth.operator.kubernetes.kubeconfig import load_kubeconfig

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def find_connection(environ: Mapping[str, str], account: Path = ACCOUNT) -> Connection:
    """Return the connection of this process: of its pod, or else of the kubeconfig. Raises NoConnection."""
    token = account / "token"
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if host and token.is_file():
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        info = kopf.ConnectionInfo(server=server, ca_path=str(account / "ca.crt"))
        return Connection(info, lambda: token.read_text(encoding="utf-8").strip())
    return load_kubeconfig(environ)
