"""`hearth plugins` and `hearth plugins check`: the list, the report and its exit code."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from hearth.plugins import Candidate
from hearth.testing import subject
from tests.cli.support import hearth


def test_plugins_as_lines() -> None:
    done = hearth("plugins", HEARTH_PLUGINS="fake,ghost")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["VENDOR", "TITLE", "DISTRIBUTION", "VERSION", "STATUS", "CAPABILITIES", "RUNTIMES"]
    assert ["fake", "Fake", "accelerators", "hearth-fake", "0.1.0", "ready", "local", "vllm-fake"] in lines
    assert ["ghost", "-", "-", "-", "error", "-", "-"] in lines
    assert done.err.startswith("ghost: HEARTH_PLUGINS names it, but no installed distribution provides")


def test_plugins_as_json() -> None:
    [fake] = json.loads(hearth("plugins", "-o", "json", HEARTH_DISABLED_PLUGINS="fake").out)
    assert (fake["name"], fake["state"], fake["error"]) == ("fake", "disabled", "turned off by HEARTH_DISABLED_PLUGINS")
    [fake] = json.loads(hearth("plugins", "-o", "json").out)
    assert fake == {
        "name": "fake",
        "title": "Fake accelerators",
        "distribution": "hearth-fake",
        "version": "0.1.0",
        "state": "ready",
        "error": "",
        "capabilities": ["local"],
        "runtimes": ["vllm-fake"],
    }


def test_plugins_on_a_terminal() -> None:
    leader, follower = pty.openpty()
    environ = {**os.environ, "HEARTH_PLUGINS": "fake", "TERM": "xterm-256color", "COLUMNS": "120"}
    code = "from hearth.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, "plugins"], stdout=follower, env=environ) as process:
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
    assert b"\x1b[32mready\x1b[0m" in shown


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a broken variant in the place of the fake vendor."""
    point = EntryPoint("fake", "tests.testing.broken:unique_keys", "hearth.vendors")
    installed = (Candidate("fake", "hearth-fake", "0.1.0", point.load),)
    monkeypatch.setattr(subject, "installed_candidates", lambda: installed)


def test_a_good_plugin() -> None:
    done = hearth("plugins", "check", "fake", "--examples", "2")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert lines[0] == "fake: hearth-fake 0.1.0"
    assert [line.split()[:2] for line in lines[1:17]] == [["ok", str(number)] for number in range(1, 17)]
    assert lines[-1] == "16 of 16 laws hold"


@pytest.mark.usefixtures("broken")
def test_a_broken_plugin() -> None:
    done = hearth("plugins", "check", "fake", "--examples", "2")
    assert done.code == 1
    assert "  broken   6  unique_keys" in done.out
    assert "law 6 (unique_keys): no variable, volume, mount path, port or device is there twice\n" in done.out
    assert "  vendor 'fake', hearth_env: the variable 'FAKE_MODE' is returned twice\n  input:\n" in done.out
    assert "  remedy: return it once\n" in done.out
    assert done.out.endswith("15 of 16 laws hold\n")


@pytest.mark.usefixtures("broken")
def test_as_json() -> None:
    done = hearth("plugins", "check", "fake", "--examples", "2", "-o", "json")
    report = json.loads(done.out)
    assert done.code == 1
    assert (report["vendor"], report["distribution"], report["passed"]) == ("fake", "hearth-fake", False)
    assert [law["number"] for law in report["laws"] if not law["passed"]] == [6]


def test_no_such_vendor() -> None:
    done = hearth("plugins", "check", "ghost")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: there is no vendor 'ghost' to check; install its distribution")


def test_without_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str, *arguments: Any) -> Any:
        return None if name == "hypothesis" else real(name, *arguments)

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", find)
    done = hearth("plugins", "check", "fake")
    assert (done.code, done.err) == (
        1,
        "error: the conformance kit needs hypothesis; pip install 'hearth-serving[testing]'\n",
    )
