"""Fixtures: a state directory, and a control socket that plays `hearth up`; a manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth.local.state import StateDir
from tests.cli.peer import Peer
from tests.cli.support import service


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    monkeypatch.setenv("HEARTH_STATE_DIR", str(tmp_path))
    directory = StateDir(tmp_path)
    directory.create()
    return directory


@pytest.fixture
def peer(state: StateDir) -> Iterator[Peer]:
    with state.locked("127.0.0.1:8080"):
        peer = Peer(state)
        yield peer
        peer.close()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(service())
    return path
