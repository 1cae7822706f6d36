"""The login outside a pod, by the official client's loader of kubeconfigs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hearth.operator.kubernetes import connection
from hearth.operator.kubernetes.connection import Connection, NoConnection
from hearth.operator.kubernetes.login import find_connection

Write = Callable[..., dict[str, str]]

PLUGIN = """
import json, pathlib
count = pathlib.Path(__file__).with_suffix(".count")
calls = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(calls))
print(json.dumps({
    "apiVersion": "client.authentication.k8s.io/v1",
    "kind": "ExecCredential",
    "status": {"token": f"token-{calls}", "expirationTimestamp": EXPIRES},
}))
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a kubeconfig with these credentials, and return the environment that names it."""

    def write(user: Any, **cluster: Any) -> dict[str, str]:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://10.0.0.1:6443", **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
        (tmp_path / "config").write_text(json.dumps(config))
        return {"KUBECONFIG": str(tmp_path / "config")}

    return write


@pytest.fixture
def find(tmp_path: Path) -> Callable[[dict[str, str]], Connection]:
    return lambda environ: find_connection(environ, tmp_path / "no-account")


def test_a_token(write: Write, find: Callable[..., Connection]) -> None:
    found = find(write({"token": "t"}))
    assert (found.server, found.headers()) == ("https://10.0.0.1:6443", {"Authorization": "Bearer t"})


def test_a_name_and_a_password(write: Write, find: Callable[..., Connection]) -> None:
    assert find(write({"username": "u", "password": "p"})).headers() == {"Authorization": "Basic dTpw"}


def test_a_client_certificate_needs_no_header(write: Write, find: Callable[..., Connection], tmp_path: Path) -> None:
    for name in ("cert", "key", "ca"):
        (tmp_path / name).write_text(name)
    found = find(write({"client-certificate": "cert", "client-key": "key"}, **{"certificate-authority": "ca"}))
    assert found.headers() == {}
    paths = (found.info.certificate_path, found.info.private_key_path, found.info.ca_path)
    assert [Path(str(path)).name for path in paths] == ["cert", "key", "ca"]
    assert found.login().expiration is None


def plugin(tmp_path: Path, expires: datetime) -> dict[str, Any]:
    """Credentials from a program that gives out another token at each call."""
    stamp = expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    (tmp_path / "plugin.py").write_text(PLUGIN.replace("EXPIRES", repr(stamp)))
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(tmp_path / "plugin.py")],
            "interactiveMode": "Never",
        }
    }


def test_an_exec_plugin(write: Write, find: Callable[..., Connection], tmp_path: Path) -> None:
    found = find(write(plugin(tmp_path, datetime.now(UTC) + timedelta(hours=1))))
    assert found.headers() == {"Authorization": "Bearer token-1"}
    assert found.login().token == "token-1"
    assert found.login().expiration is not None, "kopf asks again"


def test_an_exec_plugin_is_run_again_when_its_token_has_expired(
    write: Write, find: Callable[..., Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find(write(plugin(tmp_path, datetime.now(UTC) - timedelta(hours=1))))
    first = found.headers()
    assert found.headers() == first, "not at every request"
    monkeypatch.setattr(connection, "TOKEN_LIFE", -1.0)
    assert found.headers() != first


def test_a_proxy_and_a_certificate_that_is_not_verified(write: Write, find: Callable[..., Connection]) -> None:
    found = find(write({"token": "t"}, **{"proxy-url": "http://proxy:3128", "insecure-skip-tls-verify": True}))
    assert (found.info.proxy_url, found.info.insecure) == ("http://proxy:3128", True)
    assert find(write({"token": "t"})).info.proxy_url is None, "the environment's proxy is for everything else"


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({}, {}, "yields no credentials for https://10.0.0.1:6443.*kubectl get llmservices"),
        ({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login"}}, {}, "no exec plugin"),
        ({"token": "t"}, {"tls-server-name": "api"}, "tls-server-name 'api'"),
        ({"client-certificate": "missing", "client-key": "missing"}, {}, "cannot read the kubeconfig .*missing"),
        ("none", {}, "cannot read the kubeconfig"),
    ],
)
def test_what_cannot_be_used_is_said_with_what_to_do(
    write: Write, find: Callable[..., Connection], user: Any, cluster: Any, words: str
) -> None:
    with pytest.raises(NoConnection, match=words):
        find(write(user, **cluster))


@pytest.mark.parametrize("text", ["{", "{}", "current-context: c"])
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, find: Callable[..., Connection], text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(NoConnection, match="cannot read the kubeconfig"):
        find({"KUBECONFIG": str(tmp_path / "config")})


def test_nothing_to_connect_to(tmp_path: Path, find: Callable[..., Connection]) -> None:
    with pytest.raises(NoConnection, match=r"neither a pod's service account nor a kubeconfig.*set KUBECONFIG"):
        find({"KUBECONFIG": str(tmp_path / "missing")})


def test_without_the_official_client_the_remedy_is_its_extra(
    write: Write, find: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(NoConnection, match=r"pip install 'hearth-serving\[kubeconfig\]'"):
        find(write({"token": "t"}))
