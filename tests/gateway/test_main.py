"""The command line of a replica, and the modules that local mode does not load."""

from __future__ import annotations

import subprocess
import sys

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
