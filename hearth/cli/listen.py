"""Option `--listen`: its text means the same in `hearth up`, `hearth operator` and `hearth-gateway`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hearth_gateway.listen import ListenAddress


def read_listen(text: str) -> ListenAddress:
    """Return the address of the option. Raises typer.BadParameter."""
    from hearth_gateway.errors import ListenAddressError
    from hearth_gateway.listen import parse_listen

    try:
        return parse_listen(text)
    except ListenAddressError as exc:
        raise typer.BadParameter(str(exc), param_hint="--listen") from exc
