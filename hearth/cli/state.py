"""State directory of `hearth up`: the option which names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearth.local.state import StateDir

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIRECTORY",
        help="State directory of `hearth up`; default: $HEARTH_STATE_DIR, else $XDG_STATE_HOME/hearth, else "
        "~/.local/state/hearth.",
        show_default=False,
    ),
]


def state_dir(option: Path | None) -> StateDir:
    """Return the state directory of the option, or the default one."""
    import os

    from hearth.local.state import StateDir, default_state_path

    return StateDir(option if option is not None else default_state_path(os.environ))
