"""What containerd is told of a registry on this machine."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tools.devcluster.config import Claim, containerd_config
from tools.devcluster.paths import Paths
from tools.devcluster.registry import trust_registry


def test_a_trusted_registry_is_one_file_in_the_folder_that_containerd_reads(tmp_path: Path) -> None:
    paths = Paths("one", tmp_path)
    address = trust_registry(paths, Claim("one", 3), 5000)
    assert address == "10.89.3.1:5000"
    folder = tomllib.loads(containerd_config(paths))["plugins"]["io.containerd.grpc.v1.cri"]["registry"]["config_path"]
    hosts = tomllib.loads((Path(folder) / address / "hosts.toml").read_text())
    assert hosts["server"] == f"http://{address}"
    assert hosts["host"] == {f"http://{address}": {"capabilities": ["pull", "resolve"]}}
