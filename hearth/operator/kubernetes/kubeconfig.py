"""Kubeconfig: the login of `hearth operator` outside a pod, by the official client's loader.

The loader runs exec plugins, renews OIDC tokens and reads client certificates. It comes with the extra `kubeconfig`; nothing else
imports the package `kubernetes`, and a pod never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import kopf
import yaml

from hearth.operator.kubernetes.connection import Connection, NoConnection

if TYPE_CHECKING:
    from kubernetes.client import Configuration

DEFAULT = "~/.kube/config"

_HEADER = "BearerToken"
"""The loader's name for the whole Authorization header, `Bearer ...` or `Basic ...`."""


def load_kubeconfig(environ: Mapping[str, str]) -> Connection:
    """Return the connection of the current context of the kubeconfig. Raises NoConnection.

    An exec plugin, or the renewal of a token, blocks for as long as it takes; so it does again when its token expires.
    """
    files = environ.get("KUBECONFIG") or DEFAULT
    if not any(Path(file).expanduser().is_file() for file in files.split(":") if file):
        raise NoConnection(
            "no API server to connect to: there is neither a pod's service account nor a kubeconfig",
            "set KUBECONFIG, or run the operator in a cluster (helm install)",
        )
    configuration = _load(files)
    header = configuration.api_key.get(_HEADER) or ""
    _check(configuration, header)
    info = kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
        scheme=header.partition(" ")[0] or None,
    )
    return Connection(info, (lambda: _token(configuration)) if header else None)


def _token(configuration: Configuration) -> str:
    """Return the token of now; the loader renews one that expired."""
    header = configuration.get_api_key_with_prefix(_HEADER) or ""
    return header.partition(" ")[2]


def _check(configuration: Configuration, header: str) -> None:
    if not (header or configuration.cert_file):
        raise NoConnection(
            f"the kubeconfig yields no credentials for {configuration.host}: no token, no certificate, and no exec plugin that "
            "succeeds (its error is logged above)",
            "run the login command of your cluster, and check that `kubectl get llmservices` works",
        )
    if configuration.tls_server_name:
        raise NoConnection(
            f"tls-server-name {configuration.tls_server_name!r} of the kubeconfig is not supported: kopf cannot verify it",
            "use an address that the API server's certificate names, or run the operator in the cluster",
        )


def _load(files: str) -> Configuration:
    try:
        from kubernetes.client import Configuration
        from kubernetes.config.config_exception import ConfigException
        from kubernetes.config.kube_config import load_kube_config
    except ModuleNotFoundError as exc:
        raise NoConnection(
            f"outside a pod, the operator logs in by Kubernetes' official client; {exc.name} is not installed",
            "pip install 'hearth-serving[kubeconfig]'",
        ) from exc
    configuration = Configuration()
    configuration.proxy = None  # the loader sets that of the kubeconfig; the environment's is for everything else
    try:
        load_kube_config(config_file=files, client_configuration=configuration)
    except (ConfigException, OSError, LookupError, TypeError, AttributeError, ValueError, yaml.YAMLError) as exc:
        raise NoConnection(f"cannot read the kubeconfig {files}: {exc}", "correct it, or KUBECONFIG") from exc
    return configuration
