"""`hearth crds`: the CustomResourceDefinitions of both kinds, as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def crds(
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIRECTORY",
            help="Write a file for each definition in this directory instead of printing them.",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Print the CustomResourceDefinitions, to be applied with kubectl apply --server-side -f -."""
    from hearth.api.crd import crd_files

    files = crd_files()
    if output is None:
        typer.echo("".join(files.values()), nl=False)
        return
    output.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (output / name).write_text(text, encoding="utf-8")
