"""The node's first process, without a node."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tools.devcluster.config import Claim
from tools.devcluster.init import Component, Supervisor
from tools.devcluster.paths import Paths


def supervisor(tmp_path: Path, *components: Component) -> Supervisor:
    paths = Paths("one", tmp_path)
    paths.logs.mkdir()
    return Supervisor(paths, Claim("one", 0), {each.name: each for each in components}, began=True)


def test_a_program_that_is_gone_is_told_and_tried_again(tmp_path: Path) -> None:
    """Somebody emptied the cache of binaries: everything else goes on."""
    gone = Component("kubelet", [str(tmp_path / "kubelet")], wanted=True)
    first = supervisor(tmp_path, gone)
    first.api_ready = True
    first.start_due()
    assert gone.pid is None
    assert gone.view() == {
        "wanted": True,
        "running": False,
        "restarts": 1,
        "last_exit": f"{tmp_path}/kubelet: No such file or directory",
    }
    assert gone.due > time.monotonic()
    (tmp_path / "kubelet").symlink_to("/bin/true")
    gone.due = 0.0
    first.start_due()
    assert gone.pid is not None
    os.waitpid(gone.pid, 0)
