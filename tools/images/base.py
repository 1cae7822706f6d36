"""The base image where there is no registry to pull python:slim from: Debian's own Python, by mmdebstrap."""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path

from tools.images.builder import Buildah
from tools.images.cache import cache, digest, made, run, say
from tools.images.errors import ImagesError

NAME = "localhost/hearth-base:bookworm"
MIRROR = "http://deb.debian.org"
PACKAGES = ("python3-minimal", "libpython3.11-stdlib", "libstdc++6", "ca-certificates", "usr-is-merged")
"""libstdc++6 is for grpcio; the last is instead of usrmerge, which brings all of Perl (46 MB)."""
MERGED = "/usr/share/mmdebstrap/hooks/merged-usr"
UNUSED = ("doc", "info", "locale", "man")
"""Folders of /usr/share that no program reads."""
LABEL = "dev.hearth.base"


def ensure_base(builder: Buildah) -> str:
    """Return the name of the base, built if this is the first time or its recipe changed (a minute)."""
    key = digest(*PACKAGES, *UNUSED, MIRROR, "1")
    if builder.label(NAME, LABEL) == key:
        return NAME
    with made(cache() / f"base-{key}") as target:
        if target is not None:
            say("making the base image from Debian packages (once; about a minute)")
            _bootstrap(target / "base.tar")
    container = builder.run("from", "scratch").strip()
    builder.run("add", "--quiet", container, cache() / f"base-{key}" / "base.tar", "/")
    builder.run("config", "--label", f"{LABEL}={key}", "--cmd", json.dumps(["python3"]), container)
    builder.run("commit", "--quiet", "--rm", *builder.times, container, NAME)
    return NAME


def debian_packages(*packages: str) -> None:
    """Install what is missing, where this is possible; else raises ImagesError with the command."""
    missing = [package for package in packages if shutil.which(package) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ImagesError(
            f"{' and '.join(missing)} not found, and no docker or podman that works; install one of them "
            f"(on Debian, as root: apt-get install {' '.join(missing)})"
        )
    say(f"installing {' '.join(missing)}")
    environ = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *missing], env=environ)


def _bootstrap(archive: Path) -> None:
    if platform.freedesktop_os_release().get("ID") != "debian":
        raise ImagesError("a base can be made on Debian only; name one: make images BASE=python:3.11-slim")
    debian_packages("mmdebstrap")
    unused = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in UNUSED]
    sources = [
        f"deb {MIRROR}/debian bookworm main",
        f"deb {MIRROR}/debian bookworm-updates main",
        f"deb {MIRROR}/debian-security bookworm-security main",
    ]
    run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=essential",
            f"--hook-dir={MERGED}",
            f"--include={','.join(PACKAGES)}",
            *unused,
            "bookworm",
            archive,
            *sources,
        ]
    )
