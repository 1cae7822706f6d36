"""The token of a pod, which changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hearth.operator.kubernetes import connection
from hearth.operator.kubernetes.login import find_connection


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text("")
    return tmp_path


def test_a_token_is_read_also_when_the_node_has_just_booted(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.time, "monotonic", lambda: 5.0)
    assert find_connection({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, account).headers()


def test_nobody_asks_without_a_token_while_another_thread_reads_it(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread is kopf's: it logs in from a thread while the operator asks its first question."""
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
