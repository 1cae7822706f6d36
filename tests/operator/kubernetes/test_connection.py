"""Where the API server is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hearth.operator.kubernetes import connection
from hearth.operator.kubernetes.connection import find_connection


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


def test_a_pod_does_without_the_official_client(account: Path) -> None:
    """It is not in the image. (kopf imports it too, where it is installed.)"""
    script = (
        "import sys; from pathlib import Path; sys.modules['kubernetes'] = None; import hearth.operator.main; "
        "from hearth.operator.kubernetes.connection import find_connection; "
        f"print(find_connection({{'KUBERNETES_SERVICE_HOST': '10.96.0.1'}}, Path({str(account)!r})).headers()); "
        "print('hearth.operator.kubernetes.kubeconfig' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "{'Authorization': 'Bearer first'}\nFalse\n"
