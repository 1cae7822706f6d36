"""State directory: one instance, its records, and the identity of processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hearth.api.errors import HearthError
from hearth.local.state import (
    SOCKET_PATH_LIMIT,
    ProcessRecord,
    StateDir,
    default_state_path,
    process_identity,
)
from tests.local.sleepers import Sleepers


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    directory = StateDir(tmp_path / "state")
    directory.create()
    return directory


def record(token: str, pid: int | None = None) -> ProcessRecord:
    identity = process_identity(pid) if pid is not None else None
    return ProcessRecord(token, "qwen", "0", "vllm", pid, identity)


def test_the_default_place_follows_the_environment() -> None:
    assert default_state_path({"HEARTH_STATE_DIR": "/a", "XDG_STATE_HOME": "/b"}) == Path("/a")
    assert default_state_path({"XDG_STATE_HOME": "/b"}) == Path("/b/hearth")
    assert default_state_path({}) == Path.home() / ".local/state/hearth"


def test_it_is_private(state: StateDir) -> None:
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.logs.stat().st_mode) == 0o700


def test_a_place_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HearthError, match=r"cannot write to the state directory .*; name another one with --state-dir"):
        StateDir(tmp_path / "file" / "state").create()


def test_a_second_instance_is_told_who_holds_it(state: StateDir) -> None:
    with state.locked("127.0.0.1:8080") as announce:
        assert (instance := state.instance()) is not None
        assert instance.pid == os.getpid()
        with (
            pytest.raises(HearthError, match=rf"already running .*process {os.getpid()}, listening on 127.0.0.1:8080"),
            StateDir(state.path).locked("127.0.0.1:9090"),
        ):
            pass
        assert state.instance() == instance
        announce("127.0.0.1:40001")
        assert state.instance() == replace(instance, listen="127.0.0.1:40001")
    assert state.instance() is None
    with state.locked("127.0.0.1:8080"):
        pass


def test_the_lock_ends_with_its_process(state: StateDir) -> None:
    code = (
        "import os, sys; from pathlib import Path; from hearth.local.state import StateDir\n"
        "with StateDir(Path(sys.argv[1])).locked('x'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(state.path)], check=False)
    assert state.instance() is not None, "what it wrote is still there"
    with state.locked("127.0.0.1:8080"):
        pass


def test_a_long_path_gets_a_short_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = StateDir(tmp_path / ("d" * 90) / ("e" * 90))
    other = StateDir(tmp_path / ("d" * 90) / ("f" * 90))
    assert len(os.fsencode(deep.socket_path())) <= SOCKET_PATH_LIMIT
    assert deep.socket_path() == StateDir(deep.path).socket_path() != other.socket_path()
    monkeypatch.setattr("hearth.local.state.SHORT_PLACE", tmp_path)
    assert stat.S_IMODE(deep.socket_path().parent.stat().st_mode) == 0o700
    deep.socket_path().parent.chmod(0o755)
    with pytest.raises(HearthError, match="only you can read"):
        deep.socket_path()


def test_records_survive_and_are_forgotten(state: StateDir) -> None:
    first, second = record("a"), record("b", os.getpid())
    state.record(first)
    state.record(second)
    state.record(replace(first, pid=1, identity="x"))
    (state.path / "processes" / "torn.json").write_text("{")
    assert set(state.records()) == {replace(first, pid=1, identity="x"), second}
    state.forget("a")
    state.forget("a")
    assert state.records() == (second,)
    assert sorted(path.name for path in (state.path / "processes").iterdir()) == ["b.json"]


def test_identity_differs_between_processes_and_ends_with_them(sleeper: Sleepers) -> None:
    pid = sleeper()
    identity = process_identity(pid)
    assert identity == process_identity(pid)
    assert identity != process_identity(os.getpid())
    sleeper.end()
    assert process_identity(pid) is None
