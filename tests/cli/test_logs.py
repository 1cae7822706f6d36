"""`hearth logs`: of one replica, of several, and of none."""

from __future__ import annotations

import pytest

from hearth.api.errors import HearthError
from hearth.local.logs import LogFile
from hearth.local.state import StateDir
from tests.cli.peer import Peer, run


def written(state: StateDir, replica: str, *lines: str) -> LogFile:
    log = LogFile(state.log_path("qwen", replica), max_bytes=40)
    for line in lines:
        log.write(f"{line}\n".encode())
    return log


def test_logs_of_one_replica_are_printed_as_they_are(state: StateDir) -> None:
    written(state, "0", "one", "two").close()
    assert run("logs", "qwen") == "one\ntwo\n"
    assert run("logs", "qwen", "--tail", "1") == "two\n"
    assert run("logs", "qwen", "--tail", "0") == ""


def test_logs_of_several_replicas_say_which(state: StateDir) -> None:
    written(state, "0", "zero").close()
    written(state, "10", "ten").close()
    written(state, "2", "two").close()
    assert run("logs", "qwen") == "0 | zero\n2 | two\n10 | ten\n"
    assert run("logs", "qwen", "--replica", "2") == "two\n"
    with pytest.raises(HearthError, match="no log of replica '7'; replicas with a log: 0, 2, 10"):
        run("logs", "qwen", "--replica", "7")


def test_logs_of_a_service_that_never_started(peer: Peer) -> None:
    with pytest.raises(
        HearthError, match="qwen has no log: no replica of it was started yet, or there is no such service"
    ):
        run("logs", "qwen")
