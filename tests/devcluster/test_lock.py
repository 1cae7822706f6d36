from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.devcluster.errors import BusyError
from tools.devcluster.lock import held

HOLD = """
import sys
from pathlib import Path
from tools.devcluster.lock import held
with held(Path(sys.argv[1]), None):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until its stdin ends."""
    file = tmp_path / "folder" / "a.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, file],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield file, process
    process.kill()
    process.communicate()


def test_a_held_lock_names_its_holder(holder):
    file, process = holder
    with (
        pytest.raises(BusyError, match=rf"works on it \(process {process.pid}\)"),
        held(file, "another process works on it"),
    ):
        pytest.fail("two hold it")


def test_a_killed_holder_holds_nothing(holder):
    file, process = holder
    process.kill()
    process.wait()
    with held(file, "busy"):
        assert file.exists()
    assert not file.exists()


def test_a_waiter_gets_it_although_the_holder_removes_the_file(holder):
    file, process = holder
    waiter = subprocess.Popen(
        [sys.executable, "-c", HOLD, file],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.communicate("")
    assert waiter.stdout is not None
    assert waiter.stdout.readline() == "held\n"
    with pytest.raises(BusyError), held(file, "busy"):
        pytest.fail("two hold it")
    waiter.communicate("")
    assert not file.exists()
