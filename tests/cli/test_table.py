"""Table of a listing command: widths, colours, and terminals that want none."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from hearth.cli.table import write_table

SHOW = "from hearth.cli.table import write_table; write_table(['A', 'B'], [['ready', 'x']], colours={'A': {'ready': 'green'}})"


def on_a_terminal(**environ: str) -> bytes:
    leader, follower = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", SHOW], stdout=follower, env={**os.environ, **environ}) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 4096):
                shown += chunk
        except OSError:  # Linux ends a terminal whose other side is gone with EIO
            pass
        finally:
            os.close(leader)
    assert process.returncode == 0
    return shown


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(["NAME", "B"], [["a", "long cell"], ["a longer name", ""]], colours={"NAME": {"a": "red"}})
    assert capsys.readouterr().out == "NAME            B\na               long cell\na longer name\n"


def test_a_table_without_rows_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(["NAME", "AGE"], [])
    assert capsys.readouterr().out == "NAME   AGE\n"


def test_colours_on_a_terminal_take_no_room() -> None:
    assert on_a_terminal(NO_COLOR="").splitlines()[1] == b"\x1b[32mready\x1b[0m   x"
    assert on_a_terminal(NO_COLOR="1").splitlines()[1] == b"ready   x"
