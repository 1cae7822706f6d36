"""`hearth scale` and `hearth wake`: what they ask of `hearth up`."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from typer.testing import CliRunner

from hearth.api.errors import HearthError
from hearth.cli.app import app
from hearth.local.state import StateDir
from tests.cli.peer import READY, Peer, run


def test_scale_sends_the_number_and_the_time(peer: Peer) -> None:
    peer.answer = {"ok": "keeps at least 2 replicas for 10m0s"}
    assert run("scale", "qwen", "--replicas", "2", "--for", "10m") == "qwen keeps at least 2 replicas for 10m0s\n"
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
