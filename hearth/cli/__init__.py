"""The `hearth` command. Modules import what is slow inside their functions, so that every command starts quickly."""

from __future__ import annotations


def main() -> None:
    """Run the command; the entry point of the console script."""
    from hearth.cli.app import run

    run()
