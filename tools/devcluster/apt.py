"""Installation of Debian packages without starting their services, even if this program is killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.devcluster.command import program, run
from tools.devcluster.errors import MachineError
from tools.devcluster.report import say

POLICY = Path("/usr/sbin/policy-rc.d")
"""invoke-rc.d and deb-systemd-invoke ask it before a package starts its daemon."""

MARK = "# hearth devcluster: starts nothing while its packages are installed"
LOCK = Path("/run/lock/hearth-devcluster-apt.lock")
"""One for the machine, as the policy is. The shell and what it starts hold it, so it is free when the last of them ends."""

_SCRIPT = """
policy=$1 mark=$2 lock=$3; shift 3
exec 9>"$lock" && flock 9 || exit
if [ ! -e "$policy" ] || grep -qF "$mark" "$policy"; then
  trap 'exit 143' HUP INT TERM
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
  chmod 755 "$policy"
fi
get() { apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"; }
get "$@" || { apt-get update && get "$@"; }
"""
"""Takes the policy away at its end; one that was there before stays as it is."""

_TIDY = """
exec 9>"$3" && flock --nonblock 9 || exit 0
if grep -qF "$2" "$1"; then rm -f "$1"; fi
"""


def install(packages: Sequence[str], log: Path) -> None:
    """Install packages; what apt-get says goes to the file `log`.

    It is a session of its own: broken off, it would leave packages half installed. So Ctrl-C waits for it, and it goes on
    when this process is killed.

    Raises MachineError when apt-get fails, with the end of its output; KeyboardInterrupt when Ctrl-C was pressed meanwhile.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program("sh"), "-c", _SCRIPT, "sh", str(POLICY), MARK, str(LOCK), *packages],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    interrupted: KeyboardInterrupt | None = None
    while process.returncode is None:
        try:
            process.wait()
        except KeyboardInterrupt as error:
            say("apt-get is let finish first: half installed packages would be in everybody's way")
            interrupted = error
    if interrupted is not None:
        raise interrupted
    if process.returncode:
        end = log.read_text(errors="replace").strip()[-1500:]
        raise MachineError(f"apt-get install {' '.join(packages)}: exit status {process.returncode}: {end}")


def tidy() -> None:
    """Remove the policy that a killed installation may have left; one that goes on keeps its own. Raises MachineError."""
    if POLICY.exists():
        run(["sh", "-c", _TIDY, "sh", str(POLICY), MARK, str(LOCK)], error=MachineError)
