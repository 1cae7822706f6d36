"""Packages are installed without starting anything, and nothing of that is left, however the installation is broken off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devcluster.machine import REPOSITORY
from tests.support.waiting import wait_until
from tools.devcluster import apt
from tools.devcluster.errors import MachineError

INSTALL = """
import sys
from pathlib import Path
from tools.devcluster import apt
folder = Path(sys.argv[1])
apt.POLICY, apt.LOCK = folder / "policy-rc.d", folder / "lock"
try:
    apt.install(["one", "two"], folder / "apt.log")
except KeyboardInterrupt:
    sys.exit(130)
"""
APT = """#!/bin/sh
echo "$@" >>"$FOLDER/called"
if ! "$FOLDER/policy-rc.d"; then echo asked >>"$FOLDER/policy-says-no"; fi
until [ -e "$FOLDER/go-on" ]; do sleep 0.05; done
[ ! -e "$FOLDER/fail" ] || { echo "E: no such package" >&2; exit 100; }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an apt-get that waits for the file `go-on`."""
    program = tmp_path / "bin/apt-get"
    program.parent.mkdir()
    program.write_text(APT)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FOLDER", str(tmp_path))
    monkeypatch.setattr(apt, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(apt, "LOCK", tmp_path / "lock")
    yield tmp_path
    (tmp_path / "go-on").touch()


def begin(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", INSTALL, str(folder)], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    wait_until((folder / "policy-says-no").exists, "apt-get to run", 60)
    return process


def test_nothing_is_started_and_nothing_is_left(folder: Path) -> None:
    (folder / "go-on").touch()
    apt.install(["one", "two"], folder / "apt.log")
    assert (folder / "called").read_text().endswith(" one two\n")
    assert (folder / "policy-says-no").exists()
    assert not apt.POLICY.exists()


def test_ctrl_c_waits_for_it(folder: Path) -> None:
    process = begin(folder)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "is let finish first" in process.stderr.readline()
    assert apt.POLICY.exists()
    (folder / "go-on").touch()
    assert process.wait(10) == 130
    process.stderr.close()
    assert not apt.POLICY.exists()


def test_it_goes_on_when_its_program_is_killed(folder: Path) -> None:
    process = begin(folder)
    process.kill()
    process.communicate()
    apt.tidy()
    assert apt.POLICY.exists(), "daemons of what is still being installed are not started"
    (folder / "go-on").touch()
    wait_until(lambda: not apt.POLICY.exists(), "the policy to go", 60)


def test_the_next_one_cleans_up_after_a_crash_of_the_machine(folder: Path) -> None:
    apt.POLICY.write_text(f"#!/bin/sh\n{apt.MARK}\nexit 101\n")
    apt.tidy()
    assert not apt.POLICY.exists()


def test_somebody_elses_policy_stays(folder: Path) -> None:
    apt.POLICY.write_text("#!/bin/sh\nexit 0\n")
    apt.POLICY.chmod(0o755)
    (folder / "go-on").touch()
    apt.install(["one"], folder / "apt.log")
    apt.tidy()
    assert apt.POLICY.read_text() == "#!/bin/sh\nexit 0\n"


def test_what_apt_says_is_told(folder: Path) -> None:
    (folder / "go-on").touch()
    (folder / "fail").touch()
    with pytest.raises(MachineError, match=r"apt-get install one: exit status 100: E: no such package"):
        apt.install(["one"], folder / "apt.log")
    assert not apt.POLICY.exists()
