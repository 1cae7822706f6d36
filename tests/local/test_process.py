"""Processes: noticed at once, ended as a group, logged within bounds, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hearth.api.errors import HearthError
from hearth.local.logs import LogFile, read_log
from hearth.local.process import PORTS, Exit, Process, free_port, start_process


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogFile]:
    file = LogFile(tmp_path / "logs" / "0.log")
    yield file
    file.close()


def python(code: str, log: LogFile, **env: str) -> Process:
    return start_process([sys.executable, "-c", code], {**os.environ, "PYTHONUNBUFFERED": "1", **env}, None, log)


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def printed(log: LogFile, line: str) -> None:
    async with asyncio.timeout(20):
        while log.last_line() != line:
            await asyncio.sleep(0.01)


async def test_an_exit_code_and_the_last_line_are_known_at_once(log: LogFile) -> None:
    process = python("import sys; print('one'); print('no weights here', file=sys.stderr); sys.exit(3)", log)
    assert await process.wait() == Exit(3)
    assert log.last_line() == "no weights here"
    assert str(process.ended) == "exited with code 3"
    assert not psutil.pid_exists(process.pid)


async def test_a_kill_is_noticed_within_50_ms(log: LogFile) -> None:
    process = python("import time; print('up'); time.sleep(60)", log)
    await printed(log, "up")
    started = time.perf_counter()
    os.kill(process.pid, signal.SIGKILL)
    assert str(await process.wait()) == "was killed by SIGKILL"
    assert time.perf_counter() - started < 0.05


FAMILY = """
import os, signal, subprocess, sys, time
stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
print(child.pid)
time.sleep(60)
"""


async def test_a_leader_that_ends_takes_its_workers_with_it(log: LogFile) -> None:
    process = python(FAMILY, log)
    async with asyncio.timeout(20):
        while not log.last_line():
            await asyncio.sleep(0.01)
    worker = psutil.Process(int(log.last_line()))
    process.terminate()
    assert (await process.wait()).signal == signal.SIGTERM
    worker.wait(5)


async def test_one_that_ignores_sigterm_is_killed_after_the_grace(log: LogFile) -> None:
    process = python("import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(60)", log)
    await printed(log, "up")
    assert (await process.stop(grace=0.1)).signal == signal.SIGKILL


async def test_its_session_is_its_own(log: LogFile) -> None:
    process = python("import os; print(os.getsid(0) == os.getpid())", log)
    await process.wait()
    assert log.last_line() == "True"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["vllm-of-nobody"], "the command vllm-of-nobody was not found on PATH; install it"),
        (["/nowhere/vllm"], "the command /nowhere/vllm does not exist; install it"),
        ([__file__], "is not executable; chmod \\+x"),
    ],
)
async def test_a_command_that_cannot_start_says_why(argv: list[str], message: str, log: LogFile) -> None:
    before = open_files()
    with pytest.raises(HearthError, match=message):
        start_process([*argv, "--api-key=secret"], os.environ, None, log)
    assert open_files() == before, "no pipe is left open"


async def test_a_missing_working_directory_is_not_blamed_on_the_command(log: LogFile) -> None:
    with pytest.raises(HearthError, match=r"the working directory /nowhere of .* does not exist"):
        start_process([sys.executable], os.environ, "/nowhere", log)


async def test_output_is_complete_and_file_descriptors_are_closed(log: LogFile) -> None:
    before = open_files()
    process = python("for n in range(20000): print(n)", log)
    await process.wait()
    assert b"".join(read_log(log.path)).split() == [str(n).encode() for n in range(20000)]
    assert open_files() == before


def test_a_port_is_free_outside_the_ephemeral_range_and_not_given_twice() -> None:
    taken: set[int] = set()
    for _ in range(20):
        port = free_port(taken)
        assert port in PORTS
        assert port not in taken
        taken.add(port)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
    with pytest.raises(HearthError, match="no free port"):
        free_port(PORTS)
