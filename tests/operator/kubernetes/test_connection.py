"""Where the API server is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hearth.operator.kubernetes import connection
from hearth.operator.kubernetes.connection import NoConnection, find_connection

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://10.0.0.1:6443"}}]
users: [{name: u, user: USER}]
"""


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_a_pod_uses_its_service_account(account: Path, host: str, server: str) -> None:
    found = find_connection({"KUBERNETES_SERVICE_HOST": host}, account)
    assert found.server == server
    assert found.headers() == {"Authorization": "Bearer first"}


def test_a_token_is_read_also_when_the_node_has_just_booted(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.time, "monotonic", lambda: 5.0)
    assert find_connection({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, account).headers()


def test_nobody_asks_without_a_token_while_another_thread_reads_it(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kopf logs in from a thread while the operator asks its first question."""
    found = find_connection({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, account)
    read, meanwhile = Path.read_text, []

    def slowly(path: Path, *args: Any, **options: Any) -> str:
        if not meanwhile:
            meanwhile.append({})
            meanwhile[0] = found.headers()  # as the other thread would
        return read(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", slowly)
    assert found.headers() == {"Authorization": "Bearer first"}
    assert meanwhile == [{"Authorization": "Bearer first"}]


def test_a_token_is_read_again(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_connection({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, account)
    found.headers()
    (account / "token").write_text("second")
    assert found.headers() == {"Authorization": "Bearer first"}
    monkeypatch.setattr(connection, "TOKEN_LIFE", -1.0)
    assert found.headers() == {"Authorization": "Bearer second"}
    assert found.login().token == "second"
    assert found.login().expiration is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no kubeconfig"),
        ("{", "cannot be read"),
        ("{}", "cannot be read"),
        (KUBECONFIG.replace("USER", "{exec: {command: aws}}"), "no token and no certificate"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, words: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    if text is not None:
        (tmp_path / "config").write_text(text)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(NoConnection, match=words):
        find_connection({}, tmp_path / "nothing")


def test_a_kubeconfig_with_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(KUBECONFIG.replace("USER", "{token: t}"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    found = find_connection({}, tmp_path / "nothing")
    assert (found.server, found.headers()) == ("https://10.0.0.1:6443", {"Authorization": "Bearer t"})
