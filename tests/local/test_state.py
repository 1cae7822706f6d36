"""The state directory and the orphans: one instance, exact ownership, nothing else touched."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hearth.api.errors import HearthError
from hearth.local.orphans import end_processes, find_orphans
from hearth.local.state import (
    SOCKET_PATH_LIMIT,
    TOKEN_VARIABLE,
    ProcessRecord,
    StateDir,
    default_state_path,
    process_identity,
)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    directory = StateDir(tmp_path / "state")
    directory.create()
    return directory


@pytest.fixture
def sleeper() -> Iterator["Sleepers"]:
    sleepers = Sleepers()
    yield sleepers
    sleepers.end()


class Sleepers:
    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def __call__(self, token: str | None = None, code: str = "import time; time.sleep(60)") -> int:
        env = dict(os.environ) | ({TOKEN_VARIABLE: token} if token else {})
        process = subprocess.Popen([sys.executable, "-c", code], env=env, start_new_session=True)
        self._started.append(process)
        return process.pid

    def kill(self, pid: int) -> None:
        """Kill one and wait for its end: a signal that was sent has not been acted on yet."""
        os.kill(pid, signal.SIGKILL)
        next(process for process in self._started if process.pid == pid).wait()

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def record(token: str, pid: int | None = None) -> ProcessRecord:
    identity = process_identity(pid) if pid is not None else None
    return ProcessRecord(token, "qwen", "0", "vllm", pid, identity)


# --- the directory --------------------------------------------------------------------------------------------------


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


# --- orphans --------------------------------------------------------------------------------------------------------


def test_identity_differs_between_processes_and_ends_with_them(sleeper: Sleepers) -> None:
    pid = sleeper()
    identity = process_identity(pid)
    assert identity == process_identity(pid)
    assert identity != process_identity(os.getpid())
    sleeper.end()
    assert process_identity(pid) is None


def test_ends_what_it_owned_and_nothing_else(sleeper: Sleepers) -> None:
    owned = sleeper("token-1")
    spawned_but_not_recorded = sleeper("token-2")
    environment_overwritten = sleeper()
    stranger = sleeper()
    of_another_instance = sleeper("token-9")
    reused = sleeper()
    records = [
        record("token-1", owned),
        record("token-2"),
        record("token-3", environment_overwritten),
        ProcessRecord("token-4", "qwen", "1", "vllm", reused, "an-older-boot:123"),
        ProcessRecord("token-5", "qwen", "2", "vllm", 2**22 - 1, "gone"),
    ]
    orphans = find_orphans(records)
    assert {orphan.process.pid for orphan in orphans} == {owned, spawned_but_not_recorded, environment_overwritten}
    assert end_processes([orphan.process for orphan in orphans], grace=5) == 3
    assert all(psutil.pid_exists(pid) for pid in (stranger, of_another_instance, reused))
    assert find_orphans(records) == ()


def test_the_workers_of_a_dead_leader_are_found_by_their_token(sleeper: Sleepers) -> None:
    leader = sleeper(
        "token-of-a-leader",  # no other test's: where this one fails, its worker is left for a minute
        "import subprocess, sys, time; "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True); "
        "print('up', flush=True); time.sleep(60)",
    )
    process = psutil.Process(leader)
    while not (children := process.children()):
        pass
    worker = children[0]
    sleeper.kill(leader)
    orphans = find_orphans([record("token-of-a-leader", None)])
    assert [orphan.process for orphan in orphans] == [worker]
    assert end_processes([worker], grace=5) == 1


def test_one_that_ignores_sigterm_is_killed(sleeper: Sleepers, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    stubborn = "import pathlib, signal, time; signal.signal(15, signal.SIG_IGN)"
    code = f"{stubborn}; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    pid = sleeper("token-1", code)
    while not ready.exists():
        pass
    assert end_processes([psutil.Process(pid)], grace=0.1) == 1
    assert find_orphans([record("token-1", pid)]) == ()
