"""`hearth up`: where its table can be drawn."""

from __future__ import annotations

from hearth.cli.up import can_move_cursor


def test_a_dumb_terminal_gets_lines_not_a_table() -> None:
    assert not can_move_cursor("dumb")
    assert can_move_cursor("xterm-256color")
    assert can_move_cursor(None)
