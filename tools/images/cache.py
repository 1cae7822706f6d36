"""Cache of what the next build can use, and the tools that a build runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO

from tools.images.errors import ImagesError

TOOLS = ("hatchling==1.33.0", "pip==26.3", "uv==0.13.9")
EPOCH = 1580601600
"""The time of every file in a wheel or an image, seconds since 1970: hatchling's own choice. Same input, same bytes."""

KEPT = 30 * 86400
"""Seconds that something unused stays in the cache."""


def cache() -> Path:
    """Return `${XDG_CACHE_HOME:-~/.cache}/hearth/images`, made."""
    directory = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hearth" / "images"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def digest(*parts: str | bytes | Path) -> str:
    """Return 16 hexadecimal digits of text, bytes and the contents of files, in this order."""
    total = sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(sha256(data).digest())
    return total.hexdigest()[:16]


@contextmanager
def locked() -> Iterator[None]:
    """One build at a time: they share the cache and the context."""
    with (cache() / "lock").open("w") as lock:
        _wait(lock)
        yield


@contextmanager
def made(target: Path) -> Iterator[Path | None]:
    """Give a directory to fill that becomes `target` when all is well, or None where `target` exists."""
    if target.exists():
        os.utime(target)  # see `sweep`
        yield None
        return
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    partial.rename(target)


def sweep() -> None:
    """Remove what no build used for a month."""
    oldest = time.time() - KEPT
    for folder in ("wheels", "dependencies", "resolved", "compressed"):
        for path in (cache() / folder).glob("*"):
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path)


def tool(name: str) -> Path:
    """Return a program of the tools' environment, which is made once."""
    environment = cache() / f"tools-{digest(sys.version, *TOOLS)}"
    with made(environment.with_suffix(".ready")) as ready:
        if ready is not None:
            say("installing the build tools (once)")
            shutil.rmtree(environment, ignore_errors=True)
            run([sys.executable, "-m", "venv", environment])
            run([environment / "bin" / "python", "-m", "pip", "install", "--quiet", *TOOLS])
    return environment / "bin" / name


def run(argv: Sequence[str | Path], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Return what the program prints; raises ImagesError with its last lines when it fails."""
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(env or {})}
    done = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise ImagesError(f"{' '.join(map(str, argv[:8]))} ended with status {done.returncode}:\n{last}")
    return done.stdout


def say(message: str) -> None:
    """Tell the user what happens."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def _wait(lock: IO[str]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another build of images is running; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
