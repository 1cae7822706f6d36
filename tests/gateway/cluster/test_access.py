"""How the API server is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth_gateway.cluster.access import Access, find_access
from hearth_gateway.errors import AccessError

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "POD_NAMESPACE": "ns"}


def test_in_a_pod(tmp_path: Path) -> None:
    found = find_access(POD, account=tmp_path)
    assert found == Access("https://10.96.0.1:443", "ns", tmp_path / "token", tmp_path / "ca.crt")
    assert (
        find_access({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}, account=tmp_path).server == "https://[fd00::1]:443"
    )


def test_the_namespace_of_the_account(tmp_path: Path) -> None:
    pod = {key: value for key, value in POD.items() if key != "POD_NAMESPACE"}
    with pytest.raises(AccessError, match="set POD_NAMESPACE"):
        find_access(pod, account=tmp_path)
    (tmp_path / "namespace").write_text("other\n")
    assert find_access(pod, account=tmp_path).namespace == "other"
    assert find_access(pod, account=tmp_path, namespace="given").namespace == "given"


def test_what_is_given(tmp_path: Path) -> None:
    given = find_access(POD, server="https://api:6443/", token_file=tmp_path / "t", ca_file=tmp_path / "c")
    assert given == Access("https://api:6443", "ns", tmp_path / "t", tmp_path / "c")
    assert find_access(POD, server="http://127.0.0.1:8001").token_file is None


@pytest.mark.parametrize("server", ["api:6443", "ftp://api", "https://", "", "http://10.0.0.1", "http://api"])
def test_what_cannot_be(server: str) -> None:
    with pytest.raises(AccessError, match="--api-server"):
        find_access(POD, server=server)


def test_outside_a_pod() -> None:
    with pytest.raises(AccessError, match="give --api-server"):
        find_access({})
