"""Where the API server is found, and how a pod logs in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hearth.operator.kubernetes.login import find_connection


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


def test_a_pod_does_without_the_official_client(account: Path) -> None:
    """Where it is installed, kopf imports it too; it is not in the image."""
    script = (
        "import sys; from pathlib import Path; sys.modules['kubernetes'] = None; import hearth.operator.main; "
        "from hearth.operator.kubernetes.login import find_connection; "
        f"print(find_connection({{'KUBERNETES_SERVICE_HOST': '10.96.0.1'}}, Path({str(account)!r})).headers()); "
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "{'Authorization': 'Bearer first'}\n"
