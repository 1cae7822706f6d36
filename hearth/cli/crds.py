"""`hearth crds`: the CustomResourceDefinitions of both kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearth.cli.output import ManifestOutput, ManifestOutputOption, write_manifests


def crds(
    *,
    output: ManifestOutputOption = ManifestOutput.yaml,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            metavar="DIRECTORY",
            help="Write a YAML file for each definition to this directory instead of printing them.",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Print the CustomResourceDefinitions. `hearth crds | kubectl apply --server-side -f -` applies them."""
    from hearth.api.crd import crd_files, crds

    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in crd_files().items():
            (directory / name).write_text(text, encoding="utf-8")
    elif output is ManifestOutput.yaml:
        typer.echo("".join(crd_files().values()), nl=False)
    else:
        write_manifests(crds(), output)
