"""Wheels of every distribution, as others get them: `make test-wheels`.

`hearth` on PyPI is another project. So the index here, on the loopback interface, has one of that name too, and it must not
come along when somebody installs a plugin.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from email import message_from_string
from email.message import Message
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import pytest

from tools.distributions import ROOT, Distribution, distributions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = "https://github.com/hearth-project/hearth"
TWINE = "twine==7.0.0"
EXTRAS = "nvidia,ascend,fake,operator,testing"

FOREIGN = {
    "hearth/__init__.py": "raise ImportError('this is the other hearth')\n",
    "hearth-9.9.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: hearth\nVersion: 9.9.9\n",
    "hearth-9.9.9.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "hearth-9.9.9.dist-info/RECORD": "",
}
"""The files of a wheel that is not ours."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return the wheel of every distribution, by the distribution's name."""
    folder = tmp_path_factory.mktemp("wheels")
    directories = [each.directory for each in distributions().values()]
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, *directories)
    return {name: next(folder.glob(f"{name.replace('-', '_')}-*.whl")) for name in distributions()}


@pytest.fixture(scope="module")
def third_party(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheels of everything that ours require, and of what the demo requires."""
    folder = tmp_path_factory.mktemp("third-party")
    wanted = [str(path) for name, path in wheels.items() if name != "hearth-serving"]
    wanted += [f"{wheels['hearth-serving']}[operator,testing]", "openai"]
    pins = ROOT / "constraints.txt"
    run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder, "--constraint", pins, *wanted)
    for path in wheels.values():
        (folder / path.name).unlink()
    return folder


@pytest.fixture(scope="module")
def index(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a simple index (PEP 503) with our wheels, and one of somebody else."""
    root = tmp_path_factory.mktemp("index")
    for name, path in wheels.items():
        (root / "simple" / name).mkdir(parents=True)
        shutil.copy(path, root / "simple" / name)
    (root / "simple/hearth").mkdir()
    with ZipFile(root / "simple/hearth/hearth-9.9.9-py3-none-any.whl", "w") as foreign:
        for name, text in FOREIGN.items():
            foreign.writestr(name, text)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple/"
    finally:
        server.shutdown()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """A folder over HTTP; its listing of a directory is a page of an index."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def installed(index: str, third_party: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment in which somebody ran `pip install hearth-nvidia`."""
    programs = environment(tmp_path_factory.mktemp("clean"))
    install(programs, index, third_party, "hearth-nvidia")
    return programs


def environment(folder: Path) -> Path:
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin"


def install(programs: Path, index: str, third_party: Path, *wanted: str) -> None:
    run(programs / "pip", "install", "--quiet", "--index-url", index, "--find-links", third_party, *wanted, alone=True)


def run(*argv: str | Path, cwd: Path | None = None, alone: bool = False) -> str:
    """Return the output of a program; `alone`: without pip's own configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HEARTH_"))}
    if alone:
        kept = {name: value for name, value in kept.items() if not name.startswith("PIP_")}
        kept["PIP_CONFIG_FILE"] = os.devnull
    kept["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run(
        argv, cwd=cwd, env=kept, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


@pytest.mark.parametrize("distribution", distributions().values(), ids=distributions())
def test_a_wheel_says_what_it_is(distribution: Distribution, wheels: Mapping[str, Path]) -> None:
    wheel = wheels[distribution.name]
    found = metadata(wheel)
    assert found.get_payload() == (distribution.directory / "README.md").read_text()
    assert found["Description-Content-Type"] == "text/markdown"
    assert found["License-Expression"] == "Apache-2.0"
    urls = dict(line.split(", ") for line in found.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Source", "Changelog", "Issues"} == urls.keys()
    assert all(url.startswith(REPOSITORY) for url in urls.values())
    with ZipFile(wheel) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
        for package in distribution.packages:
            assert f"{package.name}/py.typed" in archive.namelist()


def test_an_index_takes_the_wheels(wheels: Mapping[str, Path], tmp_path: Path) -> None:
    programs = environment(tmp_path)
    run(programs / "pip", "install", "--quiet", TWINE)
    said = run(programs / "twine", "check", "--strict", *wheels.values())
    assert said.count("PASSED") == len(wheels)


def test_a_plugin_brings_our_hearth(installed: Path) -> None:
    listed = {each["name"] for each in json.loads(run(installed / "pip", "list", "--format=json"))}
    assert {"hearth-nvidia", "hearth-serving", "hearth-gateway"} <= listed
    assert "hearth" not in listed
    assert "hearth-nvidia" in run(installed / "hearth", "plugins")
    assert run(installed / "python", "-I", "-c", "import hearth; print(hearth.__file__)").startswith(
        str(installed.parent)
    )


def test_every_extra_and_the_demo(installed: Path, index: str, third_party: Path, tmp_path: Path) -> None:
    install(installed, index, third_party, f"hearth-serving[{EXTRAS}]", "openai")
    for program in ("hearth", "hearth-gateway", "vllm-stub"):
        assert run(installed / program, "--help")
    assert run(installed / "hearth", "operator", "--help")
    said = run(installed / "hearth", "plugins")
    assert all(name in said for name in ("hearth-ascend", "hearth-fake", "hearth-nvidia"))
    demo = shutil.copytree(ROOT / "examples/demo", tmp_path / "demo")
    run(installed / "hearth", "explain", "-f", demo / "hearth.yaml")
    run(installed / "python", demo / "demo.py", cwd=tmp_path)
