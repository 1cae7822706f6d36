"""Installation inside a container that is being built: the wheels of a folder, nothing else, and compiled.

No network, and the same input gives the same bytes: `PYTHONHASHSEED=0 python install.py FOLDER`.
"""

from __future__ import annotations

import compileall
import importlib.util
import py_compile
import subprocess
import sys
import sysconfig
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

UV = Path(__file__).with_name("uv")
"""In place of pip, which not every image has, and which takes 30 times as long."""
OPTIONS = ("--quiet", "--offline", "--no-cache", "--no-index", "--no-deps")


def main() -> None:
    """Install, then compile; raises CalledProcessError when a wheel is missing or does not fit."""
    wheels = Path(sys.argv[1])
    files = ("--find-links", wheels, "--requirement", wheels / "requirements.txt")
    subprocess.run([UV, "pip", "install", *OPTIONS, "--python", sys.executable, *files], check=True)
    site = Path(sysconfig.get_path("purelib"))
    for note in site.glob("*.dist-info/uv_cache.json"):
        forget(note)
    new = [path for path in sorted(site.rglob("*.py")) if not Path(importlib.util.cache_from_source(path)).exists()]
    with ProcessPoolExecutor() as pool:
        list(pool.map(compile_file, new, chunksize=50))


def forget(note: Path) -> None:
    """Remove what uv wrote down for itself, which has the time of the installation in it."""
    note.unlink()
    record = note.with_name("RECORD")
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if f"/{note.name}," not in line))


def compile_file(path: Path) -> None:
    """Write the .pyc beside `path`; what no Python can compile (a package's template) stays as it is.

    Unchecked, because the sources of an image never change and a builder may set every file's time.
    """
    compileall.compile_file(path, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main()
