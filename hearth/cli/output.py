"""Output for programs: the option `-o`, and documents as JSON or YAML.

docs/cli.md has the shape of every document; YAML and JSON never differ but in form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

WIDTH = 120
"""Columns at which YAML is folded."""


class Output(StrEnum):
    """Forms of what a command reports; `table` is the form for people, a text where there is nothing to tabulate."""

    table = "table"
    json = "json"
    yaml = "yaml"


class ManifestOutput(StrEnum):
    """Forms of manifests, which have none but these."""

    yaml = "yaml"
    json = "json"


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="Output format; json and yaml are for programs.")]
ManifestOutputOption = Annotated[ManifestOutput, typer.Option("-o", "--output", help="Output format.")]


def write_document(document: object, output: Output) -> None:
    """Print a JSON-ready document as JSON or YAML."""
    typer.echo(_json(document) if output is Output.json else _yaml([_plain(document)]), nl=output is Output.json)


def write_manifests(manifests: Sequence[Mapping[str, Any]], output: ManifestOutput) -> None:
    """Print manifests as a stream of YAML documents, or as JSON: one object, or a `List` of several, as kubectl does."""
    if output is ManifestOutput.yaml:
        typer.echo(_yaml(manifests), nl=False)
    elif len(manifests) == 1:
        typer.echo(_json(manifests[0]))
    else:
        typer.echo(_json({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))


def _json(document: object) -> str:
    import json

    return json.dumps(document, indent=2, ensure_ascii=False)


def _plain(document: object) -> object:
    """Return the document in the types that JSON has, and without shared parts, which YAML would print as aliases."""
    import json

    return json.loads(json.dumps(document))


def _yaml(documents: Sequence[object]) -> str:
    """Return documents as a stream; texts of several lines stand as they are."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
