"""The program that builds an image from a Containerfile: buildah, or docker or podman."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tarfile import TarError
from tempfile import TemporaryDirectory
from typing import Protocol

from tools.images.archive import Written, pack, written
from tools.images.cache import EPOCH, cache, run


class Builder(Protocol):
    """What the build asks of a program."""

    archive_format: str
    """The archives that `save` writes, in skopeo's words."""

    def build(self, reference: str, containerfile: Path, context: Path, arguments: Mapping[str, str]) -> None:
        """Build the image and name it `reference`."""
        ...

    def save(self, reference: str, archive: Path) -> Written:
        """Write the image where containerd can import it."""
        ...

    def push(self, reference: str, target: str, *, plain_http: bool) -> None:
        """Push the image to a registry as `target`."""
        ...


class Buildah:
    """buildah with storage of its own, so that no other program's images are in the way, nor the other way round."""

    archive_format = "oci-archive"
    times = (f"--timestamp={EPOCH}",)

    def __init__(self) -> None:
        # Layers as overlays where the kernel lets us: vfs copies the whole image for each.
        self._driver = "overlay" if os.geteuid() == 0 else "vfs"
        self._storage = cache() / "storage"
        runtime = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR", cache()))
        self._running = runtime / "hearth-images"

    def run(self, *arguments: str | Path) -> str:
        """Return what buildah prints."""
        options: list[str | Path] = [
            "--storage-driver",
            self._driver,
            "--root",
            self._storage,
            "--runroot",
            self._running,
        ]
        return run(["buildah", *options, *arguments], env={"BUILDAH_ISOLATION": "chroot"})

    def tidy(self) -> None:
        """Remove what an interrupted build left, and the layers that no image needs any more."""
        self.run("rm", "--all")
        self.run("rmi", "--prune", "--force")

    def label(self, reference: str, label: str) -> str | None:
        """Return a label of an image, or None where there is no such image or label."""
        if reference not in self.run("images", "--noheading", "--format", "{{.Name}}:{{.Tag}}").splitlines():
            return None
        inspected = json.loads(self.run("inspect", "--type", "image", reference))
        labels = inspected["OCIv1"]["config"].get("Labels") or {}
        value: str | None = labels.get(label)
        return value

    def build(self, reference: str, containerfile: Path, context: Path, arguments: Mapping[str, str]) -> None:
        """Build with every layer kept for the next time."""
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        self.run(
            "build", "--quiet", "--layers", *self.times, *given, "--file", containerfile, "--tag", reference, context
        )

    def save(self, reference: str, archive: Path) -> Written:
        """Write an OCI archive, unless it has this image already.

        Layers are compressed here, once: buildah compresses the base's again each time.
        """
        image = json.loads(self.run("inspect", "--type", "image", reference))["FromImageID"]
        with suppress(OSError, KeyError, ValueError, TarError):
            if (found := written(archive)).image == f"sha256:{image}":
                return found
        with TemporaryDirectory(dir=cache()) as directory:
            self.run("push", "--quiet", "--disable-compression", reference, f"dir:{directory}")
            return pack(Path(directory), reference, archive, cache() / "compressed")

    def push(self, reference: str, target: str, *, plain_http: bool) -> None:
        """Push from buildah's storage."""
        verify = ["--tls-verify=false"] if plain_http else []
        self.run("push", "--quiet", *verify, reference, f"docker://{target}")


class Docker:
    """docker, or podman which takes the same arguments."""

    archive_format = "docker-archive"

    def __init__(self, program: str) -> None:
        self._program = program

    def build(self, reference: str, containerfile: Path, context: Path, arguments: Mapping[str, str]) -> None:
        """Build with the program's own cache."""
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        run(
            [self._program, "build", "--quiet", *given, "--file", containerfile, "--tag", reference, context],
            env={"DOCKER_BUILDKIT": "1"},
        )

    def save(self, reference: str, archive: Path) -> Written:
        """Write the archive that the program writes by itself."""
        run([self._program, "save", "--output", archive, reference])
        size = int(run([self._program, "image", "inspect", "--format", "{{.Size}}", reference]))
        image = run([self._program, "image", "inspect", "--format", "{{.Id}}", reference]).strip()
        return Written(image, archive.stat().st_size, size)

    def push(self, reference: str, target: str, *, plain_http: bool) -> None:
        """Push from the program's storage. Whether a registry may speak plain HTTP is in docker's own configuration."""
        verify = ["--tls-verify=false"] if plain_http and self._program == "podman" else []
        run([self._program, "tag", reference, target])
        run([self._program, "push", "--quiet", *verify, target])


def docker() -> Docker | None:
    """Return docker or podman where one answers."""
    for program in ("docker", "podman"):
        if shutil.which(program) is None:
            continue
        if subprocess.run([program, "info"], capture_output=True, check=False).returncode == 0:
            return Docker(program)
    return None
