"""State directory of commands: what they say when no `hearth up` holds it."""

from __future__ import annotations

import pytest

from hearth.api.errors import HearthError
from hearth.local.state import StateDir
from tests.cli.peer import Peer, run


@pytest.mark.parametrize("args", [("get",), ("wake", "qwen"), ("scale", "qwen", "--replicas", "1"), ("logs", "qwen")])
def test_without_hearth_up_each_command_says_so(args: tuple[str, ...], state: StateDir) -> None:
    with pytest.raises(HearthError, match=r"no `hearth up` is running on .*; start one with `hearth up -f FILE`"):
        run(*args)


def test_one_that_was_killed_counts_as_not_running(peer: Peer) -> None:
    peer.state.socket_path().rename(peer.state.path / "elsewhere")
    with pytest.raises(HearthError, match="no `hearth up` is running"):
        run("get")
    (peer.state.path / "elsewhere").rename(peer.state.socket_path())
