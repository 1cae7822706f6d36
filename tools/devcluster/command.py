"""Commands: other programs, run to their end."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from tools.devcluster.errors import DevclusterError, MachineError

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def program(name: str) -> str:
    """Return the path of a program, looked for in the system's folders too.

    Raises MachineError when it is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SBIN}:/usr/bin:/bin")
    if found is None:
        raise MachineError(f"program {name!r} is not installed")
    return found


def run(
    argv: Sequence[str],
    *,
    error: type[DevclusterError],
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = 120,
) -> bytes:
    """Run a program and return its stdout.

    It is killed when this process is, so that what an interrupted command began does not happen after the next command
    has cleaned up.

    Args:
        argv: the program and its arguments; no shell.
        error: what to raise when it fails.
        stdin: its input.
        environment: variables beside this process's own.
        timeout: seconds; None waits for ever.

    Raises an error of type `error` for a status other than 0, with the end of stderr.
    """
    command = [program(argv[0]), *argv[1:]]
    try:
        done = subprocess.run(
            [program("setpriv"), "--pdeathsig", "KILL", *command],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env={**os.environ, **(environment or {})},
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise error(f"{' '.join(argv[:4])}: no end after {timeout:g} s") from None
    if done.returncode:
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise error(f"{' '.join(argv[:6])}: exit status {done.returncode}: {text[-1500:]}")
    return done.stdout
