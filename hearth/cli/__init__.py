"""The `hearth` command. Modules import what is slow inside their functions, so that every command starts quickly."""

from __future__ import annotations

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ends before it handles signals: 128 and the number of SIGINT, as in a shell."""


def main() -> None:
    """Run the command; the entry point of the console script."""
    try:
        from hearth.cli.app import run

        run()
    except KeyboardInterrupt:  # also while a module is imported, where it would print a traceback
        raise SystemExit(INTERRUPTED) from None
