"""Images without a registry or a container engine: an archive of one static binary, streamed into containerd."""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tools.devcluster.command import program
from tools.devcluster.config import CONTAINERD_SOCKET
from tools.devcluster.errors import NodeError, UsageError

CHUNK = 1 << 20
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
USER = "65532:65532"


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one static binary."""

    name: str
    binary: Path
    path: str
    user: str = USER


def _header(name: str, size: int, mode: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    return info.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


def _file(name: str, content: bytes) -> bytes:
    return _header(name, len(content), 0o644) + content + _padding(len(content))


END = b"\0" * (2 * tarfile.BLOCKSIZE)


def _layer(image: Image) -> Iterator[bytes]:
    size = image.binary.stat().st_size
    yield _header(image.path.lstrip("/"), size, 0o755)
    with image.binary.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
    yield _padding(size) + END


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def archive(image: Image) -> Iterator[bytes]:
    """Return the image as an OCI archive, in pieces. The binary is read twice and never held in memory.

    Source of the format: the OCI image specification, image-layout.md and config.md.
    """
    digest, length = hashlib.sha256(), 0
    for piece in _layer(image):
        digest.update(piece)
        length += len(piece)
    layer = digest.hexdigest()
    config = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"User": image.user, "Entrypoint": [image.path], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        }
    ).encode()

    def descriptor(kind: str, sha256: str, size: int) -> dict[str, Any]:
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{sha256}", "size": size}

    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", _digest(config), len(config)),
            "layers": [descriptor("layer.v1.tar", layer, length)],
        }
    ).encode()
    entry = descriptor("manifest.v1+json", _digest(manifest), len(manifest))
    entry["annotations"] = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()

    yield _file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    yield _file("index.json", index)
    yield _file(f"blobs/sha256/{_digest(manifest)}", manifest)
    yield _file(f"blobs/sha256/{_digest(config)}", config)
    yield _header(f"blobs/sha256/{layer}", length, 0o644)
    yield from _layer(image)
    yield _padding(length) + END


def archive_names(file: Path) -> list[str]:
    """Return the image names in an archive (OCI or Docker).

    Raises UsageError when it is not an archive of images, or its images have no full name.
    """
    names: list[str] = []
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name in ("index.json", "manifest.json") else None
                if content is None:
                    continue
                document = json.load(content)
                if isinstance(document, list):
                    names += [tag for entry in document for tag in entry.get("RepoTags") or ()]
                else:
                    for entry in document.get("manifests", ()):
                        notes = entry.get("annotations") or {}
                        name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name")
                        if name:
                            names.append(name)
    except (OSError, tarfile.TarError, ValueError) as error:
        raise UsageError(f"{file}: not an archive of images: {error}") from None
    names = sorted({name for name in names if "/" in name and ":" in name})
    if not names:
        raise UsageError(f"{file}: holds no image with a full name such as ghcr.io/NAME:TAG; name it when you save it")
    return names


def _ctr(pid: int, *arguments: str) -> list[str]:
    return [
        *(program("nsenter"), "--target", str(pid), "--mount", "--net", "--"),
        *("ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", *arguments),
    ]


def _import(pid: int, name: str, feed: Iterator[bytes] | IO[bytes]) -> None:
    process = subprocess.Popen(
        _ctr(pid, "image", "import", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for piece in feed:
            process.stdin.write(piece)
        process.stdin.close()
    except BrokenPipeError:
        pass  # it says why
    except BaseException:
        process.kill()
        raise
    finally:
        output = process.stdout.read().decode(errors="replace")
        status = process.wait()
    if status:
        raise NodeError(f"image {name}: {output.strip()[-500:]}")


def present(pid: int) -> set[str]:
    """Return the names of the node's images.

    Raises NodeError when containerd does not answer.
    """
    done = subprocess.run(_ctr(pid, "image", "list", "--quiet"), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(f"containerd does not answer: {done.stderr.strip()[-300:]}")
    return set(done.stdout.split())


def load_image(pid: int, image: Image) -> None:
    """Put an image of one binary into the node."""
    _import(pid, image.name, archive(image))


def load_archive(pid: int, file: Path) -> list[str]:
    """Put the images of an archive into the node and return their names.

    Raises UsageError when a file is not an archive of images; NodeError when containerd refuses it.
    """
    names = archive_names(file)
    with file.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if compressed else raw  # type: ignore[assignment]
        _import(pid, str(file), iter(lambda: stream.read(CHUNK), b""))
    missing = [name for name in names if name not in present(pid)]
    if missing:
        raise NodeError(f"{file}: imported, but the node does not know {', '.join(missing)}")
    return names
