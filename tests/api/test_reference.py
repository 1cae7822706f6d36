from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hearth.api.reference import reference

ROOT = Path(__file__).parents[2]


def test_the_reference_is_that_of_the_models() -> None:
    written = (ROOT / "docs" / "manifests.md").read_text()
    assert written == reference(), "run: python -m hearth.api.reference > docs/manifests.md"


def test_importing_the_api_loads_nothing_heavier_than_pydantic() -> None:
    program = (
        "import sys; import hearth.api;"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'aiohttp', 'typer', 'rich', 'pluggy', 'psutil', 'httpx'}))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
