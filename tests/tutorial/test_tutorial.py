"""docs/plugin-tutorial.md, carried out as it is written: in a clean environment, from built wheels."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "plugin-tutorial.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
FILES = {
    match.group(1): text for _, text in BLOCKS if (match := re.match(r"# (\S+\.(?:toml|yaml|py))\n", text)) is not None
}
COMMANDS = [text for language, text in BLOCKS if language == "sh"]
LIMIT = 60.0
"""Seconds for hearth to start and to answer."""


def test_it_is_as_short_as_it_says() -> None:
    module = FILES["src/hearth_mica/__init__.py"].splitlines()[1:]
    test = [line for line in FILES["test_mica.py"].splitlines()[1:] if line.strip()]
    assert len([line for line in module if line.strip()]) < 40
    assert len(test) <= 5
    assert sorted(FILES) == [
        "pyproject.toml",
        "service.yaml",
        "src/hearth_mica/__init__.py",
        "src/hearth_mica/runtimes/vllm-mica.yaml",
        "test_mica.py",
    ]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Hearth's own distributions, built."""
    directory = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory]
    subprocess.run([*build, ROOT / "gateway", ROOT / "stub", ROOT], check=True)
    return sorted(directory.iterdir())


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables with pinned dependencies and without anything of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON", "HEARTH_"))}
    return {
        **kept,
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "HEARTH_STATE_DIR": str(tmp_path / "state"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_block_of_it_works(tmp_path: Path, environ: dict[str, str], wheels: list[Path]) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (create, *before), [serve], [ask] = (
        [block for block in COMMANDS if not block.startswith(("hearth up", "curl"))],
        [block for block in COMMANDS if block.startswith("hearth up")],
        [block for block in COMMANDS if block.startswith("curl")],
    )
    install = f"pip install --quiet {shlex.join(map(str, wheels))}\n"
    said = run("".join((create, install, *before)), tmp_path, environ)
    assert "16 passed" in said
    assert re.search(r"^mica +Mica accelerators +hearth-mica +0\.1\.0 +ready +local +vllm-mica$", said, re.MULTILINE)
    assert "16 of 16 laws hold" in said
    assert "default/tiny on this machine" in said
    assert "MICA_VISIBLE_DEVICES=0" in said
    assert "1 x mica.example.com/m1 for each replica, Mica accelerators (vendor mica)" in said
    assert "path: /opt/mica" in said
    environ = {
        **environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{tmp_path / '.venv/bin'}{os.pathsep}{environ['PATH']}",
    }
    answer = "".join(up(shlex.split(serve), ask, tmp_path, environ))
    assert answer.endswith("data: [DONE]\n\n")
    words = [json.loads(line[6:]) for line in answer.splitlines() if line.startswith("data: {")]
    assert {word["model"] for word in words} == {"tiny"}


def run(script: str, directory: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def up(serve: list[str], ask: str, directory: Path, environ: dict[str, str]) -> Iterator[str]:
    """Run `hearth up` on a free port, ask it what the tutorial asks, and end it as Ctrl-C does."""
    log = directory / "up.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*serve, "--listen", "127.0.0.1:0"], cwd=directory, env=environ, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        address = listening(log, process)
        url, body = next(word for word in shlex.split(ask) if word.startswith("http")), shlex.split(ask)[-1]
        request = urllib.request.Request(
            url.replace("http://127.0.0.1:8080", address), body.encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as response:
            yield response.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(LIMIT)
    assert code == 0, log.read_text()


def listening(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        found = re.search(r"Listening on (http://\S+)/v1 for tiny", log.read_text())
        if found:
            return found.group(1)
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"hearth up does not listen:\n{log.read_text()}")
