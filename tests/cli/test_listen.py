"""Listen addresses: their forms, and what is none."""

from __future__ import annotations

import pytest
import typer

from hearth.cli.listen import parse_listen


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.0.0.0:80", ("0.0.0.0", 80)), (":0", ("", 0)), ("localhost:9000", ("localhost", 9000)), ("[::1]:1", ("::1", 1))],
)
def test_an_address_is_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize("text", ["localhost", "9000", "x:y", "1.2.3.4:70000", ":", ":-1"])
def test_anything_else_is_a_wrong_option(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is not \[HOST\]:PORT, such as"):
        parse_listen(text)
