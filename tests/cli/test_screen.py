"""Screens of `hearth up`: lines, the live table, and output that nobody reads."""

from __future__ import annotations

import threading

import pytest

from hearth.cli.screen import Event, LiveScreen, PlainScreen, Printer
from hearth.local.views import ServiceView


class NoServices:
    def views(self) -> tuple[ServiceView, ...]:
        return ()


def test_the_address_of_an_ipv6_host_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen("::1")
    screen.started(NoServices(), 8080)  # type: ignore[arg-type]
    screen.close()
    assert "Listening on http://[::1]:8080/v1" in capsys.readouterr().out


def test_every_address_is_said_with_one_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen("")
    screen.started(NoServices(), 8080)  # type: ignore[arg-type]
    screen.close()
    assert "Listening on http://127.0.0.1:8080/v1 (every address)" in capsys.readouterr().out


async def test_the_title_says_what_ctrl_c_does_now() -> None:
    screen = LiveScreen("127.0.0.1")
    screen.started(NoServices(), 8080)  # type: ignore[arg-type]
    try:
        assert screen.title == "http://127.0.0.1:8080/v1   Ctrl-C stops"
        screen.stopping()
        assert screen.title == "Stopping   Ctrl-C again kills all processes"
    finally:
        screen.close()


def test_output_that_nobody_takes_stops_nothing() -> None:
    stuck, shown = threading.Event(), list[str]()

    def show(event: Event) -> None:
        stuck.wait()
        shown.append(event.subject + event.message)

    printer = Printer(show)
    printer.put("qwen", "waking")
    printer.put("", "no devices", "error")
    assert shown == []
    stuck.set()
    printer.close()
    assert shown == ["qwen: waking", "error: no devices"]


def test_a_reader_that_left_is_no_error() -> None:
    def show(event: Event) -> None:
        raise BrokenPipeError

    printer = Printer(show)
    printer.put("", "one")
    printer.put("", "two")
    printer.close()
