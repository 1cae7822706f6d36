from __future__ import annotations

from pathlib import Path

from hearth.api.reference import reference

ROOT = Path(__file__).parents[2]


def test_the_reference_is_that_of_the_models() -> None:
    written = (ROOT / "docs" / "manifests.md").read_text()
    assert written == reference(), "run: python -m hearth.api.reference > docs/manifests.md"
