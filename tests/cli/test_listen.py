"""Option `--listen`: one meaning for each command that has it."""

from __future__ import annotations

import pytest
import typer

from hearth.cli.listen import read_listen
from tests.cli.support import hearth


def test_a_host_and_a_port() -> None:
    assert read_listen("[::1]:8080") == ("::1", 8080)


def test_no_host_is_every_address() -> None:
    assert read_listen(":8080") == ("", 8080)


def test_a_port_alone_is_a_wrong_option() -> None:
    with pytest.raises(typer.BadParameter, match=r"'8080' has no host; write 127\.0\.0\.1:8080 for this machine only"):
        read_listen("8080")


@pytest.mark.parametrize("command", [("up", "-f", "m.yaml"), ("operator",)])
def test_a_wrong_option_is_exit_code_2(command: tuple[str, ...]) -> None:
    done = hearth(*command, "--listen", "8080")
    assert (done.code, done.out) == (2, "")
    assert "Invalid value for --listen: '8080' has no host" in " ".join(done.err.split())
