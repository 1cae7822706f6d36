"""`hearth crds`: printed, and written to a directory."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.cli.support import hearth


def test_files_hold_what_is_printed(tmp_path: Path) -> None:
    assert hearth("crds", "--output-dir", tmp_path / "new").out == ""
    files = sorted((tmp_path / "new").iterdir())
    assert [file.name for file in files] == ["inferenceruntimes.yaml", "llmservices.yaml"]
    written = {
        document["metadata"]["name"]: document for file in files for document in yaml.safe_load_all(file.read_text())
    }
    printed = {document["metadata"]["name"]: document for document in yaml.safe_load_all(hearth("crds").out)}
    assert written == printed
