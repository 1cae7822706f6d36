"""The switch that rewrites golden files: HEARTH_UPDATE_GOLDEN=1."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Return a function of a name and a text that compares with the kept file, or rewrites it (HEARTH_UPDATE_GOLDEN)."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("HEARTH_UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"{path} is missing; write it with HEARTH_UPDATE_GOLDEN=1"
        assert text == path.read_text(), f"{path} differs; if that is meant, rewrite it with HEARTH_UPDATE_GOLDEN=1"

    return compare
