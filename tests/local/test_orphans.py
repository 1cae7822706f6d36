"""Orphans: exact ownership, and no other process touched."""

from __future__ import annotations

from pathlib import Path

import psutil

from hearth.local.orphans import find_orphans, stop_processes
from hearth.local.state import ProcessRecord, process_identity
from tests.local.sleepers import Sleepers


def record(token: str, pid: int | None = None) -> ProcessRecord:
    identity = process_identity(pid) if pid is not None else None
    return ProcessRecord(token, "qwen", "0", "vllm", pid, identity)


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
    assert stop_processes([orphan.process for orphan in orphans], grace=5) == 3
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
    assert stop_processes([worker], grace=5) == 1


def test_one_that_ignores_sigterm_is_killed(sleeper: Sleepers, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    stubborn = "import pathlib, signal, time; signal.signal(15, signal.SIG_IGN)"
    code = f"{stubborn}; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    pid = sleeper("token-1", code)
    while not ready.exists():
        pass
    assert stop_processes([psutil.Process(pid)], grace=0.1) == 1
    assert find_orphans([record("token-1", pid)]) == ()
