"""OCI archives, and the program that has them made."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tools.images import __main__ as program
from tools.images import base, cache
from tools.images.archive import pack, written
from tools.images.builder import Docker
from tools.images.errors import ImagesError

REFERENCE = "localhost/hearth-gateway:0.1.0"


def put(directory: Path, data: bytes) -> dict[str, Any]:
    digest = sha256(data).hexdigest()
    (directory / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def image(directory: Path, *layers: bytes) -> Path:
    """Return what buildah writes to a `dir:`."""
    directory.mkdir()
    config = put(directory, json.dumps({"layers": [sha256(layer).hexdigest() for layer in layers]}).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **put(directory, each)} for each in layers],
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_an_archive_is_a_complete_image(tmp_path: Path) -> None:
    layers = (b"base" * 10_000, b"code" * 100)
    result = pack(image(tmp_path / "dir", *layers), REFERENCE, tmp_path / "a.tar", tmp_path / "compressed")
    files = contents(tmp_path / "a.tar")
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert set(entry["annotations"].values()) == {REFERENCE}
    for name, data in files.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{sha256(data).hexdigest()}"
    manifest = json.loads(files[f"blobs/{entry['digest'].replace(':', '/')}"])
    unpacked = [gzip.decompress(files[f"blobs/{layer['digest'].replace(':', '/')}"]) for layer in manifest["layers"]]
    assert tuple(unpacked) == layers
    assert result.image == manifest["config"]["digest"]
    assert result.unpacked == sum(map(len, layers))
    assert result.compressed == (tmp_path / "a.tar").stat().st_size
    assert written(tmp_path / "a.tar") == result


def test_the_same_image_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = image(tmp_path / "dir", b"base" * 1000, b"code")
    pack(directory, REFERENCE, tmp_path / "a.tar", tmp_path / "one")
    monkeypatch.setattr("time.time", lambda: 2e9)
    pack(directory, REFERENCE, tmp_path / "b.tar", tmp_path / "two")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_layer_is_compressed_once(tmp_path: Path) -> None:
    pack(image(tmp_path / "one", b"base", b"code"), REFERENCE, tmp_path / "a.tar", tmp_path / "compressed")
    (folder,) = (path for path in (tmp_path / "compressed").iterdir() if path.name == sha256(b"base").hexdigest())
    (kept,) = folder.iterdir()
    before = kept.stat().st_mtime_ns
    pack(image(tmp_path / "two", b"base", b"new code"), REFERENCE, tmp_path / "a.tar", tmp_path / "compressed")
    assert kept.stat().st_mtime_ns == before
    assert len(list((tmp_path / "compressed").iterdir())) == 3


def test_what_is_no_archive_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "cut.tar").write_bytes(b"\0" * 700)
    with pytest.raises((KeyError, tarfile.TarError)):
        written(tmp_path / "cut.tar")


def test_another_engine_builds_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    engine = tmp_path / "docker"
    engine.write_text(
        f"""#!/bin/sh
echo "$*" >>{log}
case "$1 $2 $3 $4" in
"save --output"*) echo archive >"$3" ;;
"image inspect --format {{{{.Size}}}}"*) echo 1234 ;;
"image inspect --format {{{{.Id}}}}"*) echo sha256:abc ;;
esac
"""
    )
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = Docker("docker")
    found.build(REFERENCE, tmp_path / "Containerfile", tmp_path, {"BASE": "python:3.11-slim"})
    saved = found.save(REFERENCE, tmp_path / "a.tar")
    assert (saved.image, saved.unpacked) == ("sha256:abc", 1234)
    build = log.read_text().splitlines()[0]
    assert build == (
        f"build --quiet --build-arg=BASE=python:3.11-slim --file {tmp_path}/Containerfile --tag {REFERENCE} {tmp_path}"
    )


def test_a_machine_that_cannot_build_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(base.os, "geteuid", lambda: 1000)
    with pytest.raises(ImagesError, match=r"buildah not found.*apt-get install buildah"):
        program.choose(None)


def test_a_name_that_is_no_image_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["images", "gatewya"])
    with pytest.raises(SystemExit):
        program.main()
    assert "no image named gatewya; there are operator, gateway, stub, hub" in capsys.readouterr().err


def test_sizes_are_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    result = pack(image(tmp_path / "dir", b"x" * 2_000_000), REFERENCE, tmp_path / "a.tar", tmp_path / "compressed")
    program.report([(program.RECIPES["gateway"], result)])
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["IMAGE", "ID", "ARCHIVE", "UNPACKED"]
    assert row.split()[0] == REFERENCE
    assert row.endswith("2.0 MB")


def test_what_was_not_used_for_a_month_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache.cache() / "wheels"
    for name in ("old", "used", "new"):
        with cache.made(folder / name) as target:
            assert target is not None
            (target / "x.whl").write_text("")
    for name in ("old", "used"):
        os.utime(folder / name, (1, 1))
    with cache.made(folder / "used") as target:
        assert target is None
    cache.sweep()
    assert sorted(path.name for path in folder.iterdir()) == ["new", "used"]


def test_what_was_interrupted_is_made_again(tmp_path: Path) -> None:
    def interrupted() -> None:
        with cache.made(tmp_path / "a") as target:
            assert target is not None
            (target / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / "a").exists()
    with cache.made(tmp_path / "a") as target:
        assert target is not None
        assert list(target.iterdir()) == []
    assert (tmp_path / "a").is_dir()
