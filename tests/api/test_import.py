"""The imports of the API: cheap for those that need little of it."""

from __future__ import annotations

import subprocess
import sys


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_the_errors_do_not_load_pydantic() -> None:
    assert run("import sys; from hearth.api import HearthError; print('pydantic' in sys.modules)") == "False"


def test_the_kinds_load_nothing_heavier_than_pydantic() -> None:
    heavy = {"aiohttp", "asyncio", "hearth_gateway", "httpx", "pluggy", "psutil", "rich", "typer"}
    loaded = run("import sys; from hearth.api import load_manifests; print(*{m.split('.')[0] for m in sys.modules})")
    assert not heavy & set(loaded.split())
