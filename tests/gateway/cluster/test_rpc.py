"""The gRPC messages are generated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hearth_gateway.cluster import rpc


def test_the_messages_are_those_of_the_protos(tmp_path: Path) -> None:
    """`make protos` was run after the last change."""
    [folder] = map(Path, rpc.__path__)
    protos = sorted(folder.glob("*.proto"))
    assert protos
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}",
         *map(str, protos)],
        check=True,
    )  # fmt: skip
    for written in sorted(tmp_path.iterdir()):
        assert written.read_text() == (folder / written.name).read_text(), f"{written.name}: run make protos"
