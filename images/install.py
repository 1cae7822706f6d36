"""Runs in a container that is being built: install the wheels of a folder, nothing else, and compile what is new.

No network, and the same input gives the same bytes: `PYTHONHASHSEED=0 python install.py FOLDER`.
"""

import compileall
import importlib.util
import py_compile
import subprocess
import sys
import sysconfig
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

PIP = Path(__file__).with_name("pip.whl") / "pip"
OPTIONS = (
    "--no-index",
    "--no-deps",
    "--no-compile",
    "--no-cache-dir",
    "--root-user-action=ignore",
    "--ignore-installed",
)
"""The last: the pip that runs would count as installed."""


def main() -> None:
    """Install, then compile; raises CalledProcessError when pip refuses."""
    wheels = Path(sys.argv[1])
    pip = (sys.executable, PIP, "install", "--quiet", "--disable-pip-version-check", *OPTIONS)
    subprocess.run([*pip, "--find-links", wheels, "--requirement", wheels / "requirements.txt"], check=True)
    site = Path(sysconfig.get_path("purelib"))
    new = [path for path in sorted(site.rglob("*.py")) if not Path(importlib.util.cache_from_source(path)).exists()]
    with ProcessPoolExecutor() as pool:
        list(pool.map(compile_file, new, chunksize=50))


def compile_file(path: Path) -> None:
    """Write the .pyc beside `path`; what no Python can compile (a package's template) stays as it is.

    Unchecked, because the sources of an image never change and a builder may set every file's time.
    """
    compileall.compile_file(path, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main()
