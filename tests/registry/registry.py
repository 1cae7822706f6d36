"""Debian's docker-registry as a process of a test."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import wait_until

PACKAGES = {"docker-registry": "docker-registry", "skopeo": "skopeo", "htpasswd": "apache2-utils"}
"""Programs that a registry with a password takes, and the Debian packages that have them."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who may push and pull."""

    user: str
    password: str


def install() -> None:
    """Install the Debian packages that are missing, without starting the service that one of them brings."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if missing:
        environ = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(
            ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *missing], env=environ, check=True
        )


@contextmanager
def serve(directory: Path, address: str, account: Account | None = None) -> Iterator[None]:
    """Run a registry at HOST:PORT, with its storage and its log in `directory`."""
    directory.mkdir()
    lines = [
        "version: 0.1",
        "storage:",
        f"  filesystem: {{rootdirectory: {directory}/data}}",
        f"http: {{addr: '{address}'}}",
    ]
    if account is not None:
        made = subprocess.run(
            ["htpasswd", "-nbB", account.user, account.password], capture_output=True, text=True, check=True
        )
        (directory / "htpasswd").write_text(made.stdout)
        lines += ["auth:", f"  htpasswd: {{realm: registry, path: {directory}/htpasswd}}"]
    (directory / "config.yml").write_text("\n".join(lines))
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", directory / "config.yml"], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: _answers(address), lambda: f"an answer; the log:\n{(directory / 'log').read_text()[-2000:]}")
        yield
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return True
