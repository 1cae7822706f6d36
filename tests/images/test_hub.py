"""The tests' hub of models, held against the client that engines and prewarm Jobs use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hearth.planning.prewarm import _DOWNLOAD

HUB = Path(__file__).parents[1] / "cluster" / "hub"
FILES = {"config.json", "generation_config.json", "tokenizer.json", "README.md", "model.safetensors"}
WEIGHTS = "model.safetensors"


@contextmanager
def hub(*options: str) -> Iterator[str]:
    """Its address."""
    argv = [sys.executable, HUB / "server.py", "--listen", "127.0.0.1:0", "--size", "65536", *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.match(r"listening on (http://\S+) with", process.stdout.readline())
            assert found is not None
            yield found[1]
        finally:
            process.terminate()
            assert process.wait(10) == 0


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with hub() as address:
        yield address


@pytest.fixture(autouse=True)
def counted_from_zero(endpoint: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/requests", method="DELETE")).close()


def asked(endpoint: str) -> dict[str, dict[str, int]]:
    with urllib.request.urlopen(f"{endpoint}/requests") as answer:
        document: dict[str, dict[str, Any]] = json.load(answer)
    return document.get("acme/tiny", {})


def download(endpoint: str, home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run what the prewarm Job runs."""
    environ = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **env}
    argv = [sys.executable, "-c", _DOWNLOAD["hf"], *words]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)


def test_the_prewarm_job_downloads_everything_once(endpoint: str, tmp_path: Path) -> None:
    done = download(endpoint, tmp_path, "acme/tiny")
    assert done.returncode == 0, done.stderr
    snapshot = Path(done.stdout.strip())
    assert {path.name for path in snapshot.rglob("*") if path.is_file()} == FILES
    seen = asked(endpoint)
    assert {name: count["GET"] for name, count in seen.items() if name} == dict.fromkeys(FILES, 1)
    assert seen[WEIGHTS]["bytes"] == (snapshot / WEIGHTS).stat().st_size

    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/requests", method="DELETE")).close()
    again = download(endpoint, tmp_path, "acme/tiny")
    assert again.stdout == done.stdout
    assert set(asked(endpoint)) == {""}, "a second download asks for the revision and for no file"

    offline = download("http://127.0.0.1:9", tmp_path, "acme/tiny", HF_HUB_OFFLINE="1")
    assert offline.stdout == done.stdout


def test_a_revision_may_be_named(endpoint: str, tmp_path: Path) -> None:
    by_branch = download(endpoint, tmp_path, "acme/tiny", "main").stdout
    commit = Path(by_branch.strip()).name
    assert download(endpoint, tmp_path, "acme/tiny", commit).stdout == by_branch
    refused = download(endpoint, tmp_path, "acme/tiny", "no-such-branch")
    assert refused.returncode == 1
    assert "RevisionNotFoundError" in refused.stderr


def test_a_model_that_is_not_there_is_refused(endpoint: str, tmp_path: Path) -> None:
    refused = download(endpoint, tmp_path, "acme/none")
    assert refused.returncode == 1
    assert "RepositoryNotFoundError" in refused.stderr
    assert "there is no model acme/none" in refused.stderr


def test_a_download_that_is_cut_goes_on(tmp_path: Path) -> None:
    with hub("--cut", "1") as endpoint:
        done = download(endpoint, tmp_path, "acme/tiny")
        assert done.returncode == 0, done.stderr
        assert asked(endpoint)[WEIGHTS]["GET"] == 2


def test_a_part_of_a_file_may_be_asked_for(endpoint: str) -> None:
    url = f"{endpoint}/acme/tiny/resolve/main/{WEIGHTS}"
    with urllib.request.urlopen(url) as answer:
        whole = answer.read()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=1000-"})) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 1000-{len(whole) - 1}/{len(whole)}"
        assert answer.read() == whole[1000:]


def test_the_engine_loads_from_the_cache_and_becomes_the_stub(endpoint: str, tmp_path: Path) -> None:
    assert download(endpoint, tmp_path, "acme/tiny").returncode == 0
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/requests", method="DELETE")).close()
    argv = [sys.executable, HUB / "engine.py", "serve", "acme/tiny", "--served-model-name=tiny", "--host=127.0.0.1"]
    environ = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with subprocess.Popen(
        [*argv, "--port=0"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Starting vLLM server" in line:
                break
        process.terminate()
    assert re.search(r"loaded \d+ bytes of weights from \S+/snapshots/", said), said
    assert "Starting vLLM server" in said
    assert set(asked(endpoint)) == {""}
