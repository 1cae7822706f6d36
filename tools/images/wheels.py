"""The wheels that go into an image: first-party ones built here, others downloaded once."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

from tools.distributions import ROOT
from tools.images.cache import TOOLS, cache, digest, made, run, say, tool
from tools.images.errors import ImagesError
from tools.images.recipe import DISTRIBUTIONS, Recipe

PYTHON = "3.11"
"""The Python of the base."""
CONSTRAINTS = ROOT / "constraints.txt"
_LIBC = ("manylinux_2_36", "manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""Platform tags that Debian bookworm can run (glibc 2.36)."""
_IGNORED = {"__pycache__", ".DS_Store"}


def first_party(distribution: str) -> Path:
    """Return the wheel of a distribution of this repository, built if its sources changed."""
    directory = DISTRIBUTIONS[distribution].directory
    sources = sorted(_sources(distribution))
    key = digest(*(part for path in sources for part in (str(path.relative_to(directory)), path)))
    with made(cache() / "wheels" / f"{distribution}-{key}") as target:
        if target is not None:
            say(f"building the wheel of {distribution}")
            run([tool("hatchling"), "build", "--target", "wheel", "--directory", target], cwd=directory)
    return next((cache() / "wheels" / f"{distribution}-{key}").glob("*.whl"))


def dependencies(recipe: Recipe) -> Path:
    """Return the folder with everything that others wrote: wheels, and requirements.txt with the exact versions."""
    pinned = _resolve(recipe)
    folder = cache() / "dependencies" / f"{recipe.name}-{digest(pinned, PYTHON, machine())}"
    with made(folder) as target:
        if target is not None:
            say(f"downloading the dependencies of {recipe.image}")
            shutil.copy(pinned, target / "requirements.txt")
            _download(pinned, target)
    return folder


def _resolve(recipe: Recipe) -> Path:
    """Return a file with the exact version of everything that the image needs.

    uv reads environment markers as the image's Python, whatever this one is; pip does not.
    """
    wanted = "".join(f"{line}\n" for line in recipe.requirements())
    folder = cache() / "resolved" / f"{recipe.name}-{digest(wanted, CONSTRAINTS, PYTHON, machine())}"
    with made(folder) as target:
        if target is not None:
            (target / "requirements.in").write_text(wanted)
            options = ("--quiet", "--no-header", "--no-annotate", "--only-binary=:all:", "--constraint", CONSTRAINTS)
            image = (f"--python-version={PYTHON}", f"--python-platform={machine()}-manylinux_2_28")
            files = ("--output-file", "requirements.txt", "requirements.in")
            run([tool("uv"), "pip", "compile", *options, *image, *files], cwd=target)
            free = [line for line in (target / "requirements.txt").read_text().split() if line.lower() not in _pins()]
            if free:
                raise ImagesError(
                    f"{recipe.image} would carry unpinned packages; add to constraints.txt: {' '.join(free)}"
                )
    return folder / "requirements.txt"


def installer() -> Path:
    """Return uv as the image can run it; a folder of its own is mounted while an image is built."""
    (pin,) = (requirement for requirement in TOOLS if requirement.startswith("uv=="))
    folder = cache() / "dependencies" / f"{pin}-{machine()}"
    with made(folder) as target:
        if target is not None:
            _download(pin, target)
            with ZipFile(next(target.glob("uv-*.whl"))) as wheel:
                (name,) = (name for name in wheel.namelist() if name.endswith("/scripts/uv"))
                (target / "uv").write_bytes(wheel.read(name))
            (target / "uv").chmod(0o755)
    return folder / "uv"


def machine() -> str:
    """Return this machine's architecture as Linux names it."""
    return {"arm64": "aarch64", "AMD64": "x86_64"}.get(name := platform.machine(), name)


def _download(what: str | Path, target: Path) -> None:
    image = (
        f"--python-version={PYTHON}",
        "--implementation=cp",
        *(f"--platform={libc}_{machine()}" for libc in _LIBC),
    )
    options = ("--quiet", "--no-deps", "--only-binary=:all:", "--dest", target)
    run([tool("pip"), "download", *image, *options, *(("--requirement", what) if isinstance(what, Path) else (what,))])


def _pins() -> set[str]:
    return {re.sub(r"[-_.]+(?=[^=]*==)", "-", line.strip()).lower() for line in CONSTRAINTS.read_text().splitlines()}


def _sources(distribution: str) -> Iterator[Path]:
    directory = DISTRIBUTIONS[distribution].directory
    yield directory / "pyproject.toml"
    yield from (path for name in ("README.md", "LICENSE") if (path := directory / name).exists())
    for package in DISTRIBUTIONS[distribution].packages:
        found = [path for path in package.rglob("*") if path.is_file()]
        if not found:
            raise ImagesError(f"{distribution}: {package} has no files; see [tool.hatch.build.targets.wheel]")
        yield from (path for path in found if not _IGNORED & set(path.parts) and path.suffix != ".pyc")
