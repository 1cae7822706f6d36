"""Child processes of a benchmark: start them, wait until they answer, read what they used, end them."""

from __future__ import annotations

import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
DEBIAN_PACKAGES = {"wrk": "wrk", "haproxy": "haproxy"}


class BenchmarkError(Exception):
    """A benchmark that cannot be run or whose answers were wrong; its text says what to do."""


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and its children since their start, user and system together."""
    times = [member.cpu_times() for member in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def resident_bytes(process: psutil.Process) -> int:
    """Resident memory of a process and its children, counted page by page.

    The quick figure of /proc/PID/stat may be off by some hundred KiB since Linux 6.2.
    """
    members = (process, *process.children(recursive=True))
    return sum(_rss(Path(f"/proc/{member.pid}/smaps_rollup").read_text()) for member in members)


def _rss(smaps: str) -> int:
    line = next(line for line in smaps.splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024


def free_ports(count: int) -> tuple[int, ...]:
    """Different loopback ports that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return tuple(each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()


def need_tools(*names: str) -> None:
    """Raise BenchmarkError when a program that pip cannot install is missing."""
    missing = [name for name in names if shutil.which(name, path=tool_path()) is None]
    if missing:
        packages = " ".join(DEBIAN_PACKAGES[name] for name in missing)
        raise BenchmarkError(f"not installed: {', '.join(missing)}; on Debian and Ubuntu: apt-get install {packages}")


def tool_path() -> str:
    """Where to look for programs: this environment first, and sbin, where Debian keeps haproxy."""
    bin_directory = Path(sys.executable).parent
    return f"{bin_directory}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def tool(name: str) -> str:
    """Return the full path of a program. Raises BenchmarkError when it is not installed."""
    found = shutil.which(name, path=tool_path())
    if found is None:
        raise BenchmarkError(f"{name} is not installed beside {sys.executable}; run: make install")
    return found


def raise_file_limit(wanted: int) -> None:
    """Allow this process and its children `wanted` open files. Raises BenchmarkError when the hard limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise BenchmarkError(f"{wanted} open files are needed and the hard limit is {hard}; use fewer streams")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listening(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def running(
    argv: Sequence[str], *, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[psutil.Process]:
    """Run a server until the block ends. Raises BenchmarkError when it dies or does not listen within 20 s."""
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            _wait_listening(child, argv, port, log.fileno())
            yield psutil.Process(child.pid)
            if child.poll() is not None:
                raise BenchmarkError(f"{argv[0]} exited with {child.returncode} while measured: {_tail(log.fileno())}")
        finally:
            _end(child)


def _wait_listening(child: subprocess.Popen[bytes], argv: Sequence[str], port: int, log: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not listening(port):
        if child.poll() is not None:
            raise BenchmarkError(f"{argv[0]} exited with {child.returncode}: {_tail(log)}")
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{argv[0]} does not listen on port {port} after {START_SECONDS:.0f} s: {_tail(log)}")
        time.sleep(0.02)


def _tail(log: int) -> str:
    text = Path(f"/proc/self/fd/{log}").read_text(errors="replace")
    return text[-2000:].strip() or "it printed nothing"


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
