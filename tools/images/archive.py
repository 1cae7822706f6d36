"""An OCI archive out of an image that buildah wrote to a directory; compressed layers are kept for the next build."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, BinaryIO

from tools.images.cache import EPOCH

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
SIZE = "dev.hearth.layer.size"
"""Annotation of a compressed layer: its bytes when unpacked."""


@dataclass(frozen=True, slots=True)
class Written:
    """An archive that was written."""

    image: str
    """The image's id: the digest of its configuration."""
    compressed: int
    """Bytes of the archive."""
    unpacked: int
    """Bytes of the layers as they are unpacked."""


def pack(directory: Path, reference: str, archive: Path, compressed: Path) -> Written:
    """Write the image in `directory` (containers-image's `dir:`, layers not compressed) to `archive` as `reference`.

    Compressed layers are looked up in, and put into, `compressed`.
    """
    manifest = json.loads((directory / "manifest.json").read_bytes())
    config = directory / _name(manifest["config"])
    layers = [_compress(directory / _name(layer), compressed) for layer in manifest["layers"]]
    manifest["layers"] = [
        {
            "mediaType": GZIP,
            "digest": f"sha256:{path.name}",
            "size": path.stat().st_size,
            "annotations": {SIZE: str(layer["size"])},
        }
        for path, layer in zip(layers, manifest["layers"], strict=True)
    ]
    document = json.dumps(manifest, sort_keys=True).encode()
    found = {
        "mediaType": manifest["mediaType"],
        "digest": f"sha256:{sha256(document).hexdigest()}",
        "size": len(document),
        "annotations": {"org.opencontainers.image.ref.name": reference, "io.containerd.image.name": reference},
    }
    index = json.dumps({"schemaVersion": 2, "manifests": [found]}, sort_keys=True).encode()
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        _add(tar, "index.json", index)
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, _blob(found), document)
        for path, descriptor in ((config, manifest["config"]), *zip(layers, manifest["layers"], strict=True)):
            with path.open("rb") as data:
                _add(tar, _blob(descriptor), data, descriptor["size"])
    partial.replace(archive)
    return written(archive)


def written(archive: Path) -> Written:
    """Describe an archive that `pack` wrote; raises KeyError, OSError or TarError when it is none."""
    with tarfile.open(archive) as tar:
        (found,) = _load(tar, "index.json")["manifests"]
        manifest = _load(tar, _blob(found))
        sizes = (int(layer["annotations"][SIZE]) for layer in manifest["layers"])
        return Written(manifest["config"]["digest"], archive.stat().st_size, sum(sizes))


def _compress(layer: Path, compressed: Path) -> Path:
    """Return the layer's compressed file, named by its digest, in a folder named by the layer's."""
    folder = compressed / layer.name
    found = [path for path in folder.glob("*") if path.suffix != ".partial"]
    if found:
        os.utime(folder)
        return found[0]
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "layer.partial"
    with (
        layer.open("rb") as source,
        partial.open("wb") as target,
        gzip.GzipFile("", "wb", 6, target, mtime=0) as squeezed,
    ):
        shutil.copyfileobj(source, squeezed, 1 << 20)
    with partial.open("rb") as data:
        name = file_digest(data, "sha256").hexdigest()
    return partial.rename(folder / name)


def _load(tar: tarfile.TarFile, name: str) -> Any:
    member = tar.extractfile(name)
    if member is None:
        raise KeyError(name)
    return json.load(member)


def _add(tar: tarfile.TarFile, name: str, data: bytes | BinaryIO, size: int | None = None) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = EPOCH
    if isinstance(data, bytes):
        member.size, data = len(data), io.BytesIO(data)
    else:
        member.size = size or 0
    tar.addfile(member, data)


def _name(descriptor: Mapping[str, Any]) -> str:
    digest: str = descriptor["digest"]
    return digest.removeprefix("sha256:")


def _blob(descriptor: Mapping[str, Any]) -> str:
    return f"blobs/sha256/{_name(descriptor)}"
