"""`python -m tools.images [operator] [gateway] [stub]`: build the images, write build/images/NAME.tar, print their sizes."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.distributions import ROOT
from tools.images.archive import Written
from tools.images.base import debian_packages, ensure_base
from tools.images.builder import Buildah, Builder, docker
from tools.images.cache import digest, locked, run, say, sweep
from tools.images.errors import ImagesError
from tools.images.push import check_registry, push
from tools.images.recipe import RECIPES, Recipe
from tools.images.wheels import dependencies, first_party, installer

OUTPUT = ROOT / "build" / "images"
PYTHON_SLIM = "docker.io/library/python:3.11-slim"


def main() -> int:
    """Return the exit status: 0, or 1 with a message for the user."""
    parser = argparse.ArgumentParser(prog="python -m tools.images", description="Build Hearth's container images.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}; without names, those that are shipped"
    )
    parser.add_argument("--base", default=os.environ.get("BASE") or None, help="image to build on; has Python 3.11")
    parser.add_argument("--load", metavar="CLUSTER", help="put them into this development cluster as well")
    parser.add_argument("--push", metavar="HOST[:PORT][/PATH]", help="push them to this registry as well")
    parser.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in RECIPES]
    if unknown:
        parser.error(f"no image named {unknown[0]}; there are {', '.join(RECIPES)}")
    try:
        with locked():
            recipes = [recipe for recipe in RECIPES.values() if wanted(recipe, options.names)]
            if options.push is not None:
                check_registry(options.push)
            builder = build(recipes, options.base)
            for recipe in recipes if options.push else ():
                push(recipe, archive(recipe), builder, options.push, plain_http=options.plain_http)
            if options.load:
                load(recipes, options.load)
    except ImagesError as error:
        say(f"error: {error}")
        return 1
    return 0


def wanted(recipe: Recipe, names: Sequence[str]) -> bool:
    """Whether to build it: what is named, or else everything that is shipped."""
    return recipe.name in names if names else recipe.shipped


def build(recipes: list[Recipe], base: str | None) -> Builder:
    """Build each image and write its archive; return what built them. Raises ImagesError."""
    began = time.monotonic()
    builder, base = choose(base)
    written = [(recipe, make(recipe, builder, base)) for recipe in recipes]
    if isinstance(builder, Buildah):
        builder.tidy()
    sweep()
    report(written)
    say(f"{len(recipes)} images in {time.monotonic() - began:.1f} s, archives in {OUTPUT.relative_to(ROOT)}/")
    return builder


def choose(base: str | None) -> tuple[Builder, str]:
    """Return what builds here and the base to build on."""
    if shutil.which("buildah") is None and (engine := docker()) is not None:
        return engine, base or PYTHON_SLIM
    debian_packages("buildah")
    builder = Buildah()
    return builder, base or ensure_base(builder)


def make(recipe: Recipe, builder: Builder, base: str) -> Written:
    """Prepare the context of one image, build it, write its archive."""
    context = ROOT / "build" / "images" / "context"
    others, own = dependencies(recipe), [first_party(name) for name in recipe.distributions]
    tools = context / "tools"
    fill(tools, {"install.py": ROOT / "tools" / "images" / "install.py", "uv": installer()})
    fill(context / "dependencies" / recipe.name, {path.name: path for path in others.iterdir()})
    fill(context / "packages" / recipe.name, {path.name: path for path in own})
    (context / "packages" / recipe.name / "requirements.txt").write_text(
        "".join(f"{name}\n" for name in recipe.distributions)
    )
    fill(context / "files" / recipe.name, {path.name: path for path in recipe.source.glob("*.py")})
    arguments = {
        "BASE": base,
        "DEPENDENCIES": digest(others / "requirements.txt", ROOT / "tools" / "images" / "install.py"),
        "PACKAGES": digest(*own),
        "VERSION": recipe.version,
    }
    say(f"building {recipe.reference}")
    builder.build(recipe.reference, recipe.source / "Containerfile", context, arguments)
    return builder.save(recipe.reference, archive(recipe))


def load(recipes: list[Recipe], cluster: str) -> None:
    """Import the archives into the development cluster; raises ImagesError."""
    archives = [archive(recipe) for recipe in recipes]
    run([sys.executable, "-m", "tools.devcluster", "load-image", *archives, "--name", cluster], cwd=ROOT)
    say(f"loaded into cluster {cluster}")


def archive(recipe: Recipe) -> Path:
    """Return where the archive of an image is written."""
    return OUTPUT / f"{recipe.image}.tar"


def fill(folder: Path, files: dict[str, Path]) -> None:
    """Make `folder` hold exactly these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, path in files.items():
        shutil.copy(path, folder / name)


def report(written: list[tuple[Recipe, Written]]) -> None:
    """Print what was written, with sizes in MB (10^6 bytes)."""
    rows = [("IMAGE", "ID", "ARCHIVE", "UNPACKED")]
    for recipe, result in written:
        image = result.image.removeprefix("sha256:")[:12]
        rows.append((recipe.reference, image, f"{result.compressed / 1e6:.1f} MB", f"{result.unpacked / 1e6:.1f} MB"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


if __name__ == "__main__":
    sys.exit(main())
