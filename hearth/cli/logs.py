"""`hearth logs`: the output of a service's engines, also after `hearth up` has ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hearth.cli.state import StateOption, state_dir

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.local.state import StateDir

FOLLOW_PERIOD = 0.2
"""Seconds between two reads of the files with `-f`."""


def logs(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the service.", show_default=False)],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print new lines until Ctrl-C.")] = False,
    replica: Annotated[
        str | None,
        typer.Option("--replica", metavar="N", help="Print the log of this replica only.", show_default=False),
    ] = None,
    tail: Annotated[
        int | None,
        typer.Option("--tail", metavar="LINES", min=0, help="Print the last lines only.", show_default=False),
    ] = None,
    state: StateOption = None,
) -> None:
    """Print the engine logs of a service. With several replicas each line begins with the replica's number."""
    from hearth.local.logs import Follower, read_log

    directory = state_dir(state)
    files = _files(directory, name, replica)
    prefixes = [f"{path.stem} | ".encode() if len(files) > 1 else b"" for path in files]
    followers = [Follower(path) for path in files] if follow else []
    for path, prefix in zip(files, prefixes, strict=True):
        lines = b"".join(read_log(path)).splitlines(keepends=True)
        _print(lines if tail is None else lines[len(lines) - min(tail, len(lines)) :], prefix)
    if not follow:
        return
    import time

    try:
        while True:
            for follower, prefix in zip(followers, prefixes, strict=True):
                _print(follower.read().splitlines(keepends=True), prefix)
            time.sleep(FOLLOW_PERIOD)
    except KeyboardInterrupt:
        return


def _files(state: StateDir, name: str, replica: str | None) -> list[Path]:
    from hearth.api.errors import HearthError
    from hearth.local.remote import is_running, not_running

    files = sorted(state.log_path(name, "*").parent.glob("*.log"), key=lambda path: path.stem.zfill(4))
    chosen = [path for path in files if replica in (None, path.stem)]
    if chosen:
        return chosen
    if files:
        known = ", ".join(path.stem for path in files)
        raise HearthError(f"{name} has no log of replica {replica!r}", f"replicas with a log: {known}")
    if not is_running(state):
        raise not_running(state)
    services = sorted(path.name for path in state.logs.iterdir())
    raise HearthError(
        f"{name} has no log: no replica of it was started yet, or there is no such service",
        f"`hearth get` lists the services, `hearth wake` starts one; services with a log: {', '.join(services) or 'none'}",
    )


def _print(lines: Sequence[bytes], prefix: bytes) -> None:
    for line in lines:
        sys.stdout.buffer.write(prefix + line)
    sys.stdout.buffer.flush()
