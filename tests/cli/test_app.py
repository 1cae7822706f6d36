"""Commands as a whole: help, version, quick starts, and exit codes of errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from hearth.cli import main
from hearth.cli.app import app
from tests.cli.support import hearth


def test_version() -> None:
    assert hearth("--version").out.startswith("hearth 0.")


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(args: tuple[str, ...]) -> None:
    done = hearth(*args)
    assert all(f"\n  {command} " in done.out + done.err for command in ("explain", "plugins", "render"))


def test_the_documentation_lists_every_command() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    [table] = re.findall(r"^\| command \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    listed = {name for row in table.splitlines() for name in re.findall(r"`([a-z]+)`", row.split("|")[1])}
    assert listed == {*typer.main.get_command(app).commands}


@pytest.mark.parametrize("args", [("--help",), ("plugins",), ("explain", "--help")])
def test_quick_commands_import_nothing_slow(args: tuple[str, ...]) -> None:
    """0.1 s for each of these; the time itself is in `make bench`."""
    code = (
        "import sys, atexit; from hearth.cli import main; "
        "atexit.register(lambda: print([m for m in ('pydantic', 'rich', 'yaml', 'asyncio') if m in sys.modules])); main()"
    )
    environ = {**os.environ, "HEARTH_PLUGINS": "fake"}
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.splitlines()[-1] == "[]"


def test_ctrl_c_while_modules_are_imported_prints_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hearth.cli.app.run", interrupted)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130


def test_a_plugin_that_fails_is_exit_code_1(tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site"
    (package / "hearth_bad-1.0.dist-info").mkdir(parents=True)
    (package / "hearth_bad-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: hearth-bad\nVersion: 1.0\n"
    )
    (package / "hearth_bad-1.0.dist-info" / "entry_points.txt").write_text("[hearth.vendors]\nbad = hearth_bad\n")
    (package / "hearth_bad.py").write_text(
        "from hearth.plugins import VendorInfo, hookimpl\n"
        "@hookimpl\ndef hearth_vendor(): return VendorInfo(name='bad', title='Bad')\n"
        "@hookimpl\ndef hearth_env(ctx): raise RuntimeError('no driver')\n"
    )
    (tmp_path / "runtime.yaml").write_text(
        "apiVersion: serving.hearth.dev/v1alpha1\nkind: InferenceRuntime\nmetadata: {name: bad}\n"
        "spec: {vendor: bad, priority: 9, container: {image: e}, accelerator: {resourceName: a.dev/b}}\n"
    )
    monkeypatch.syspath_prepend(package)
    done = hearth("render", "-f", manifest, "-f", tmp_path / "runtime.yaml", HEARTH_PLUGINS="bad,fake")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: the plugin for vendor 'bad' (hearth-bad 1.0) failed in hearth_env: RuntimeError: no driver; "
        "upgrade hearth-bad or report this to its authors; HEARTH_DISABLED_PLUGINS=bad turns it off\n"
    )
