"""Archives are read back by the rules of the OCI image layout, not by the code that wrote them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile

import pytest

from tools.devcluster.errors import UsageError
from tools.devcluster.images import Image, archive, archive_names


@pytest.fixture(params=[0, 1, 511, 512, 513, 3 * 2**20 + 7])
def image(request, tmp_path):
    binary = tmp_path / "program"
    binary.write_bytes(os.urandom(request.param))
    return Image("localhost/some/name:1", binary, "/bin/program")


def test_archive_is_an_image_layout(image, tmp_path):
    file = tmp_path / "image.tar"
    file.write_bytes(b"".join(archive(image)))
    with tarfile.open(file) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}
    assert json.loads(content["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}

    def blob(descriptor):
        data = content["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
        assert len(data) == descriptor["size"]
        assert "sha256:" + hashlib.sha256(data).hexdigest() == descriptor["digest"]
        return data

    manifest = json.loads(blob(json.loads(content["index.json"])["manifests"][0]))
    config = json.loads(blob(manifest["config"]))
    layer = blob(manifest["layers"][0])
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    assert config["config"]["Entrypoint"] == ["/bin/program"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        member = tar.getmember("bin/program")
        assert member.mode == 0o755
        assert tar.extractfile(member).read() == image.binary.read_bytes()


def test_names_are_read_from_the_archive(image, tmp_path):
    file = tmp_path / "image.tar"
    file.write_bytes(b"".join(archive(image)))
    assert archive_names(file) == ["localhost/some/name:1"]


def _tar(path, name, document):
    data = json.dumps(document).encode()
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return path


def test_names_of_a_docker_archive(tmp_path):
    file = _tar(tmp_path / "d.tar", "manifest.json", [{"RepoTags": ["ghcr.io/a/b:1", "ghcr.io/a/b:2"]}])
    assert archive_names(file) == ["ghcr.io/a/b:1", "ghcr.io/a/b:2"]


def test_an_image_without_a_full_name_is_refused(tmp_path):
    file = _tar(
        tmp_path / "o.tar", "index.json", {"manifests": [{"annotations": {"org.opencontainers.image.ref.name": "1"}}]}
    )
    with pytest.raises(UsageError, match="full name"):
        archive_names(file)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x").write_text("no")
    with pytest.raises(UsageError, match="not an archive"):
        archive_names(tmp_path / "x")
    with pytest.raises(UsageError, match="not an archive"):
        archive_names(tmp_path / "absent")
