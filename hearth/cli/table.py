"""Table of a listing command: columns as kubectl prints them, with colours on a terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import typer

GAP = "   "


def write_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    colours: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Print a header and rows. `colours` maps the title of a column to the colours of its cells, by their text."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    shades = [(colours or {}).get(title, {}) for title in header]
    typer.echo(_line(header, widths, [{}] * len(widths)))
    for row in rows:
        typer.echo(_line(row, widths, shades), color=False if os.environ.get("NO_COLOR") else None)


def _line(row: Sequence[str], widths: Sequence[int], shades: Sequence[Mapping[str, str]]) -> str:
    cells = (
        _shaded(cell, shade) + " " * (width - len(cell)) for cell, width, shade in zip(row, widths, shades, strict=True)
    )
    return GAP.join(cells).rstrip()


def _shaded(cell: str, shade: Mapping[str, str]) -> str:
    return typer.style(cell, fg=shade[cell]) if cell in shade else cell
