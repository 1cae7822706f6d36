"""get, logs, scale, wake and up's options: what they print and ask, against a control socket that plays `hearth up`."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hearth.api.errors import HearthError
from hearth.cli.app import app
from hearth.cli.get import age
from hearth.cli.screen import LiveScreen, PlainScreen, Printer
from hearth.cli.up import can_move_cursor, parse_listen
from hearth.local.logs import Follower, LogFile, set_aside
from hearth.local.state import StateDir
from hearth.local.views import ServiceView

READY = ServiceView("qwen", "ai", "Ready", "", "vllm-fake", 2, 2, 0, 3, 312.4)
WAITING = ServiceView("llama", "ai", "Pending", "needs 1 accelerator of vendor fake", "vllm-fake", 0, 1, 4, 0, 59.0)


class Peer:
    """Plays `hearth up`: answers every request with `answer` and keeps what was asked."""

    def __init__(self, state: StateDir) -> None:
        self.state = state
        self.answer: dict[str, object] = {"ok": [asdict(WAITING), asdict(READY)]}
        self.asked: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(state.socket_path()))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, connection.makefile("rwb") as file:
                line = file.readline()
                if not line:
                    return
                self.asked.append(json.loads(line))
                file.write(json.dumps(self.answer).encode() + b"\n")

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.state.socket_path()))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    monkeypatch.setenv("HEARTH_STATE_DIR", str(tmp_path))
    directory = StateDir(tmp_path)
    directory.create()
    return directory


@pytest.fixture
def peer(state: StateDir) -> Iterator[Peer]:
    with state.locked("127.0.0.1:8080"):
        peer = Peer(state)
        yield peer
        peer.close()


def run(*args: str) -> str:
    """Standard output of a command that succeeds; its HearthError is raised."""
    result = CliRunner().invoke(app, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_get_prints_what_kubectl_would(peer: Peer) -> None:
    assert run("get").splitlines() == [
        "NAME    PHASE     RUNTIME     REPLICAS   AGE",
        "llama   Pending   vllm-fake   0          59s",
        "qwen    Ready     vllm-fake   2          5m12s",
    ]
    assert peer.asked == [{"do": "get"}]


def test_get_wide_says_why(peer: Peer) -> None:
    header, llama = run("get", "llama", "-o", "wide").splitlines()
    assert header.split() == ["NAME", "PHASE", "RUNTIME", "REPLICAS", "AGE", "WANTED", "HELD", "IN-FLIGHT", "REASON"]
    assert llama.endswith("1        4      0           needs 1 accelerator of vendor fake")


def test_get_json_is_for_programs(peer: Peer) -> None:
    assert json.loads(run("get", "qwen", "-o", "json"))[0]["in_flight"] == 3


def test_get_of_an_unknown_name_lists_the_known(peer: Peer) -> None:
    with pytest.raises(HearthError, match="there is no service 'nobody'; known services: llama, qwen"):
        run("get", "nobody")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (3600, "60m"),
        (10800, "3h"),
        (90000, "25h"),
        (200000, "2d"),
    ],
)
def test_ages_read_as_in_kubectl(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_scale_sends_the_number_and_the_time(peer: Peer) -> None:
    peer.answer = {"ok": "has at least 2 replicas for 600 s"}
    assert run("scale", "qwen", "--replicas", "2", "--for", "10m") == "qwen has at least 2 replicas for 600 s\n"
    assert peer.asked == [{"do": "scale", "name": "qwen", "replicas": 2, "seconds": 600.0}]


def test_wake_returns_at_once_or_waits(peer: Peer) -> None:
    peer.answer = {"ok": None}
    assert run("wake", "qwen") == "qwen is waking\n"
    peer.answer = {"ok": asdict(READY)}
    assert run("wake", "qwen", "--wait") == "qwen is ready\n"
    assert [request["wait"] for request in peer.asked] == [False, True]
    peer.answer = {"ok": asdict(READY) | {"phase": "Degraded", "reason": "no such command"}}
    with pytest.raises(HearthError, match="qwen is Degraded: no such command"):
        run("wake", "qwen", "--wait")


def test_an_error_of_the_other_side_is_raised_with_its_remedy(peer: Peer) -> None:
    peer.answer = {"error": "there is no service 'x'", "remedy": "known services: qwen"}
    with pytest.raises(HearthError, match="there is no service 'x'; known services: qwen"):
        run("wake", "x")


@pytest.mark.parametrize("args", [("get",), ("wake", "qwen"), ("scale", "qwen", "--replicas", "1"), ("logs", "qwen")])
def test_without_hearth_up_each_command_says_so(args: tuple[str, ...], state: StateDir) -> None:
    with pytest.raises(HearthError, match=r"no `hearth up` is running on .*; start one with `hearth up -f FILE`"):
        run(*args)


def test_one_that_was_killed_counts_as_not_running(peer: Peer) -> None:
    peer.state.socket_path().rename(peer.state.path / "elsewhere")
    with pytest.raises(HearthError, match="no `hearth up` is running"):
        run("get")
    (peer.state.path / "elsewhere").rename(peer.state.socket_path())


@pytest.mark.parametrize(
    ("args", "option"),
    [
        (("scale", "qwen", "--replicas", "1", "--for", "soon"), "--for"),
        (("wake", "qwen", "--timeout", "1"), "--timeout"),
    ],
)
def test_a_bad_duration_names_its_option(args: tuple[str, ...], option: str, state: StateDir) -> None:
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 2
    assert f"Invalid value for {option}" in result.output


# --- logs -----------------------------------------------------------------------------------------------------------


def written(state: StateDir, replica: str, *lines: str) -> LogFile:
    log = LogFile(state.log_path("qwen", replica), max_bytes=40)
    for line in lines:
        log.write(f"{line}\n".encode())
    return log


def test_logs_of_one_replica_are_printed_as_they_are(state: StateDir) -> None:
    written(state, "0", "one", "two").close()
    assert run("logs", "qwen") == "one\ntwo\n"
    assert run("logs", "qwen", "--tail", "1") == "two\n"
    assert run("logs", "qwen", "--tail", "0") == ""


def test_logs_of_several_replicas_say_which(state: StateDir) -> None:
    written(state, "0", "zero").close()
    written(state, "10", "ten").close()
    written(state, "2", "two").close()
    assert run("logs", "qwen") == "0 | zero\n2 | two\n10 | ten\n"
    assert run("logs", "qwen", "--replica", "2") == "two\n"
    with pytest.raises(HearthError, match="no log of replica '7'; replicas with a log: 0, 2, 10"):
        run("logs", "qwen", "--replica", "7")


def test_logs_of_a_service_that_never_started(peer: Peer) -> None:
    with pytest.raises(HearthError, match="qwen has no log: nothing was started for it yet; wake it with"):
        run("logs", "qwen")


def test_following_goes_on_over_a_full_file(state: StateDir) -> None:
    log = written(state, "0", "before")
    follower = Follower(log.path)
    assert follower.read() == b""
    log.write(b"a" * 30 + b"\n")
    assert follower.read() == b"a" * 30 + b"\n"
    log.write(b"b\n")
    log.write(b"c" * 38 + b"\n")
    assert set_aside(log.path).exists()
    assert follower.read() == b"b\n" + b"c" * 38 + b"\n"
    log.write(b"d\n")
    assert follower.read().endswith(b"d\n")
    log.close()
    follower.close()


# --- up's options ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.0.0.0:80", ("0.0.0.0", 80)), (":0", ("127.0.0.1", 0)), ("9000", ("127.0.0.1", 9000)), ("[::1]:1", ("::1", 1))],
)
def test_listen(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize("text", ["localhost", "x:y", "1.2.3.4:70000", ":", ":-1"])
def test_listen_that_is_not_a_place(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not HOST:PORT, such as"):
        parse_listen(text)


def test_a_dumb_terminal_gets_lines_not_a_table() -> None:
    assert not can_move_cursor("dumb")
    assert can_move_cursor("xterm-256color")
    assert can_move_cursor(None)


class NoServices:
    def views(self) -> tuple[ServiceView, ...]:
        return ()


def test_the_address_of_an_ipv6_host_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen("::1")
    screen.started(NoServices(), 8080)  # type: ignore[arg-type]
    screen.close()
    assert "listening on http://[::1]:8080/v1" in capsys.readouterr().out


async def test_the_title_says_what_ctrl_c_does_now() -> None:
    screen = LiveScreen("127.0.0.1")
    screen.started(NoServices(), 8080)  # type: ignore[arg-type]
    try:
        assert screen.title == "http://127.0.0.1:8080/v1   Ctrl-C stops"
        screen.stopping()
        assert screen.title == "stopping   Ctrl-C again ends everything at once"
    finally:
        screen.close()


def test_output_that_nobody_takes_stops_nothing() -> None:
    stuck, shown = threading.Event(), list[str]()

    def show(time: datetime, subject: str, text: str) -> None:
        stuck.wait()
        shown.append(subject + text)

    printer = Printer(show)
    printer.put("qwen", "waking")
    printer.put("", "stopping")
    assert shown == []
    stuck.set()
    printer.close()
    assert shown == ["qwen: waking", "stopping"]


def test_a_reader_that_left_is_no_error() -> None:
    def show(time: datetime, subject: str, text: str) -> None:
        raise BrokenPipeError

    printer = Printer(show)
    printer.put("", "one")
    printer.put("", "two")
    printer.close()
