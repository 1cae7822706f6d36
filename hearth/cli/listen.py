"""Listen addresses of commands: HOST:PORT, or :PORT for every address of the machine."""

from __future__ import annotations

import typer


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port; the host is empty for every address. Raises typer.BadParameter."""
    host, colon, number = text.rpartition(":")
    if not colon or not (number.isascii() and number.isdigit() and int(number) < 65536):
        raise typer.BadParameter(f"{text!r} is not [HOST]:PORT, such as 127.0.0.1:8080", param_hint="--listen")
    return host.strip("[]"), int(number)
