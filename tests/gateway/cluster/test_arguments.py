"""The command line of a replica, what local mode does not load, and that the messages are generated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def fails(*argv: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "hearth_gateway", *argv]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        ([], 2, "--config --config-map"),
        (["--config", "x", "--config-map", "y"], 2, "not allowed with"),
        (["--config-map", "x"], 1, "give --api-server"),
        (["--config-map", "x", "--api-server", "http://api"], 1, "clear text"),
        (["--config-map", "x", "--scaler-listen", "here"], 2, "--scaler-listen: 'here' is not HOST:PORT"),
        (
            ["--config-map", "x", "--api-server", "http://localhost:1", "--namespace", "n", "--listen", "127.0.0.1:0",
             "--scaler-listen", "192.0.2.1:9"],
            1,
            "give another --scaler-listen",
        ),
    ],
)  # fmt: skip
def test_bad_arguments(argv: list[str], code: int, words: str) -> None:
    found, text = fails(*argv)
    assert (found, words in text) == (code, True), text


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_local_mode_loads_nothing_of_the_cluster() -> None:
    loaded = python("import sys, hearth_gateway.__main__; print(*sys.modules)").split()
    assert "hearth_gateway.gateway" in loaded
    for module in ("grpc", "google.protobuf", "aiohttp", "hearth_gateway.cluster"):
        assert module not in loaded


def test_the_extra_is_named_when_it_is_missing() -> None:
    program = (
        "import sys; sys.modules['grpc'] = None\n"
        "from hearth_gateway.__main__ import main\n"
        "sys.stderr = sys.stdout\n"
        "print(main(['--config-map', 'x']))"
    )
    text = python(program)
    assert "install hearth-gateway[cluster]" in text
    assert text.endswith("1\n")


def test_the_messages_are_those_of_the_protos(tmp_path: Path) -> None:
    """``make protos`` was run after the last change."""
    import hearth_gateway.cluster.rpc as rpc

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
