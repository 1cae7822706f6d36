"""State directory: one running instance per directory, its logs, and a record of every process it owns.

A process is recorded twice: as an intention with a random token before it is spawned, and with its pid and identity
right after. The token is also in the environment of the process. So at whatever moment a supervisor is killed, the next
one can identify its processes (see orphans.py).
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import psutil

from hearth.api.errors import HearthError

TOKEN_VARIABLE = "HEARTH_PROCESS"  # noqa: S105 - names a process, opens nothing
STATE_VARIABLE = "HEARTH_STATE_DIR"
SOCKET_PATH_LIMIT = 100
"""Bytes. The kernel's limit for the path of a Unix socket is 108 on Linux and 104 on macOS, final zero included."""
SHORT_PLACE = Path("/tmp")  # noqa: S108 - a private directory is made there; $TMPDIR may be long itself


@dataclass(frozen=True, slots=True)
class Instance:
    """Instance that runs on a state directory, as its lock file says. `listen` is the address of the gateway."""

    pid: int
    socket: str
    listen: str


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """Record of an owned process. `pid` and `identity` are None between the intention to spawn it and the spawn."""

    token: str
    service: str
    replica: str
    command: str
    pid: int | None = None
    identity: str | None = None


class StateDir:
    """Files of one `hearth up`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.lock_file = self.path / "lock"
        self._processes = self.path / "processes"

    def create(self) -> None:
        """Create the directories, private to the user. Raises HearthError when they cannot be created or written."""
        try:
            for directory in (self.path, self.logs, self._processes):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._processes):
                pass
        except OSError as error:
            raise HearthError(
                f"cannot write to the state directory {self.path}: {error.strerror}",
                f"name another one with --state-dir or ${STATE_VARIABLE}",
            ) from error

    @contextmanager
    def locked(self, listen: str) -> Iterator[Callable[[str], None]]:
        """Lock the directory for this process; yield a function that publishes the actual listen address.

        Raises HearthError, with the process that holds the lock.
        """
        with self.lock_file.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self.instance()
                who = f"process {holder.pid}, listening on {holder.listen}" if holder else "another process"
                stop = f"stop it (Ctrl-C in its terminal, or kill {holder.pid}), or " if holder else ""
                raise HearthError(
                    f"`hearth up` is already running on the state directory {self.path} ({who})",
                    f"{stop}use another directory with --state-dir",
                ) from None
            socket = str(self.socket_path())

            def announce(listen: str) -> None:
                file.truncate(0)
                file.write(json.dumps(asdict(Instance(os.getpid(), socket, listen))))
                file.flush()

            announce(listen)
            try:
                yield announce
            finally:
                file.truncate(0)

    def instance(self) -> Instance | None:
        """Return the instance of the lock file. It may have been killed since; only its socket shows that."""
        try:
            return Instance(**json.loads(self.lock_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def socket_path(self) -> Path:
        """Return the path of the control socket: in the directory, or in a short private one when that is too long.

        Raises HearthError when that other directory is not private.
        """
        path = self.path / "control.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            return path
        short = SHORT_PLACE / f"hearth-{os.getuid()}"
        short.mkdir(mode=0o700, exist_ok=True)
        info = short.lstat()
        if info.st_uid != os.getuid() or info.st_mode & 0o077:
            raise HearthError(
                f"{short} is not a directory that only you can read", "remove it, or use a shorter --state-dir"
            )
        return short / f"{sha256(os.fsencode(path)).hexdigest()[:16]}.sock"

    def log_path(self, service: str, replica: str) -> Path:
        """Return the path of a replica's log."""
        return self.logs / service / f"{replica}.log"

    def record(self, record: ProcessRecord) -> None:
        """Write or replace a record atomically."""
        path = self._processes / f"{record.token}.json"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(record)), encoding="utf-8")
        draft.replace(path)

    def forget(self, token: str) -> None:
        """Delete a record, if it exists."""
        (self._processes / f"{token}.json").unlink(missing_ok=True)

    def records(self) -> tuple[ProcessRecord, ...]:
        """Return every record. A file that is not a record is deleted."""
        found = []
        for path in sorted(self._processes.iterdir()):
            try:
                found.append(ProcessRecord(**json.loads(path.read_text(encoding="utf-8"))))
            except (ValueError, TypeError):
                path.unlink(missing_ok=True)
        return tuple(found)


def default_state_path(environment: Mapping[str, str]) -> Path:
    """Return $HEARTH_STATE_DIR, else $XDG_STATE_HOME/hearth, else ~/.local/state/hearth."""
    if environment.get(STATE_VARIABLE):
        return Path(environment[STATE_VARIABLE])
    if environment.get("XDG_STATE_HOME"):
        return Path(environment["XDG_STATE_HOME"]) / "hearth"
    return Path.home() / ".local" / "state" / "hearth"


def process_identity(pid: int) -> str | None:
    """Return a text that no other process of this machine ever has, or None when there is no such process.

    On Linux it is the boot id and the start time in clock ticks since boot; changes of the clock affect neither
    (proc(5), field 22 of /proc/PID/stat). Elsewhere it is the start time that psutil reports.
    """
    stat = Path(f"/proc/{pid}/stat")
    boot = Path("/proc/sys/kernel/random/boot_id")
    with suppress(OSError, IndexError):
        # The second field is the name in parentheses and may contain anything, so count from its end.
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return f"{boot.read_text(encoding='utf-8').strip()}:{fields[19]}"
    if boot.exists():
        return None
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None
