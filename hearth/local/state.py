"""The state directory: one running instance per directory, its logs, and a record of every process it owns.

A process is recorded twice: as an intention with a random token before it is spawned, and with its pid and identity
right after. The token is also in the process's environment. So whatever moment the supervisor is killed at, the next
one can tell its processes from all others (see orphans.py).
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
"""Bytes. The kernel's limit for a unix socket's path is 108 on Linux and 104 on macOS, with the closing zero."""
SHORT_PLACE = Path("/tmp")  # noqa: S108 - a private directory is made there; $TMPDIR may be long itself


@dataclass(frozen=True, slots=True)
class Instance:
    """Who runs on a state directory: written into its lock file. `listen` is host:port of the gateway."""

    pid: int
    socket: str
    listen: str


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One owned process. `pid` and `identity` are None between the intention to spawn it and the spawn."""

    token: str
    service: str
    replica: str
    command: str
    pid: int | None = None
    identity: str | None = None


class StateDir:
    """The files of one `hearth up`. Raises HearthError when the directory cannot be created or written."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.lock_file = self.path / "lock"
        self._processes = self.path / "processes"

    def create(self) -> None:
        """Make the directories, private to the user, and prove that they can be written."""
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
        """Hold the directory for this process; yields a function that tells others where it really listens.

        Raises HearthError naming the process that holds it already.
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
        """Who says to be running here. It may have been killed since: only its socket can tell."""
        try:
            return Instance(**json.loads(self.lock_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def socket_path(self) -> Path:
        """Where the control socket is: in the directory, or under a short private one when that path is too long."""
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
        return self.logs / service / f"{replica}.log"

    def record(self, record: ProcessRecord) -> None:
        """Write or replace the record; a reader sees the old or the new one, never a part."""
        path = self._processes / f"{record.token}.json"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(record)), encoding="utf-8")
        draft.replace(path)

    def forget(self, token: str) -> None:
        (self._processes / f"{token}.json").unlink(missing_ok=True)

    def records(self) -> tuple[ProcessRecord, ...]:
        """Every record left behind. A file that is not one is removed."""
        found = []
        for path in sorted(self._processes.iterdir()):
            try:
                found.append(ProcessRecord(**json.loads(path.read_text(encoding="utf-8"))))
            except (ValueError, TypeError):
                path.unlink(missing_ok=True)
        return tuple(found)


def default_state_path(environment: Mapping[str, str]) -> Path:
    """$HEARTH_STATE_DIR, else $XDG_STATE_HOME/hearth, else ~/.local/state/hearth."""
    if environment.get(STATE_VARIABLE):
        return Path(environment[STATE_VARIABLE])
    if environment.get("XDG_STATE_HOME"):
        return Path(environment["XDG_STATE_HOME"]) / "hearth"
    return Path.home() / ".local" / "state" / "hearth"


def process_identity(pid: int) -> str | None:
    """A text that no other process of this machine ever has, or None when there is no such process.

    Linux: the boot id and the start time in clock ticks since boot, both untouched by changes of the clock
    (proc(5), field 22 of /proc/PID/stat). Elsewhere: the start time that psutil reports.
    """
    stat = Path(f"/proc/{pid}/stat")
    boot = Path("/proc/sys/kernel/random/boot_id")
    with suppress(OSError, IndexError):
        # The second field is the name in parentheses and may hold anything, so count from its end.
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return f"{boot.read_text(encoding='utf-8').strip()}:{fields[19]}"
    if boot.exists():
        return None
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None
