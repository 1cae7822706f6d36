"""Building, with a `go` that does what the test wants."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.devcluster.build import COMPONENTS, binary_folder, build_all
from tools.devcluster.errors import BuildError, MachineError

COREDNS = next(item for item in COMPONENTS if item.name == "coredns")
"""A component with one program."""

GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit 0; fi
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
{build}
"""


@pytest.fixture
def go(tmp_path, monkeypatch):
    """Put a `go` on PATH whose build does as told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tools.devcluster.build.DISK", 0)

    def write(build: str, version: str = "1.26.0") -> None:
        program = folder / "go"
        program.write_text(GO.format(build=build, version=version))
        program.chmod(0o755)

    return write


def cache() -> set[str]:
    return {path.name for path in binary_folder(COREDNS).parent.iterdir()}


def test_a_built_program_is_in_the_cache_and_not_built_again(go):
    go("echo made > $out/coredns")
    program = build_all([COREDNS])["coredns"]
    assert program.read_text() == "made\n"
    go("exit 1")
    assert build_all([COREDNS])["coredns"] == program
    assert cache() == {binary_folder(COREDNS).name}


def test_a_failed_build_leaves_nothing_and_says_what_go_said(go):
    go("echo half > $out/coredns; echo 'x.go:1: no such thing' >&2; exit 1")
    with pytest.raises(BuildError, match="no such thing"):
        build_all([COREDNS])
    assert cache() == set()


def test_a_full_disk_is_named(go):
    go("echo 'write x: no space left on device' >&2; exit 1")
    with pytest.raises(BuildError, match="the disk is full"):
        build_all([COREDNS])


def test_too_little_room_is_said_before_building(go, monkeypatch):
    go("exit 1")
    monkeypatch.setattr("tools.devcluster.build.DISK", 1 << 62)
    with pytest.raises(MachineError, match="GiB free"):
        build_all([COREDNS])


@pytest.mark.parametrize("version", ["1.25.9", "1.4", "0.9"])
def test_an_old_go_is_refused_with_the_version_that_is_needed(go, version):
    go("exit 1", version=version)
    with pytest.raises(MachineError, match=r"install Go 1\.26 or later"):
        build_all([COREDNS])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_build_leaves_no_compiler_and_nothing_half_in_the_cache(go, tmp_path, number):
    started, ended = tmp_path / "started", tmp_path / "ended"
    os.mkfifo(started)
    os.mkfifo(ended)
    # The compiler holds `ended` open: its end closes it, whatever ends it.
    go(f"exec 3>{ended}; echo half > $out/coredns; echo > {started}; exec sleep 1000")
    code = f"import tools.devcluster.build as b; b.DISK = 0; b.build_all([b.COMPONENTS[{COMPONENTS.index(COREDNS)}]])"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    with ended.open("rb") as end:
        started.read_text()
        process.send_signal(number)
        process.wait()
        assert end.read() == b""
    assert not binary_folder(COREDNS).exists()
    go("echo made > $out/coredns")
    build_all([COREDNS])
    assert cache() == {binary_folder(COREDNS).name}
