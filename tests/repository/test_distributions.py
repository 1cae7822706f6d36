"""Distributions of the repository: one more plugin is one more directory, and touches no list."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.distributions import ROOT, distributions, plugins

RUFF = Path(sys.executable).with_name("ruff")
PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "hearth-zeta"
version = "0.1.0"
dependencies = ["hearth-serving>=0.1,<0.2", "zeta-driver>=3"]

[project.entry-points."hearth.vendors"]
zeta = "hearth_zeta"

[tool.hatch.build.targets.wheel]
packages = ["src/hearth_zeta"]
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository with one more plugin, which imports what a plugin must not."""
    root = tmp_path_factory.mktemp("checkout")
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)  # what a clone would have
    for name in listed.rstrip("\0").split("\0"):
        if (source := ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(source.read_bytes())
    package = root / "plugins/hearth-zeta/src/hearth_zeta"
    package.mkdir(parents=True)
    (root / "plugins/hearth-zeta/pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text("import hearth.planning\n")
    return root


def run(checkout: Path, *argv: str | Path) -> str:
    done = subprocess.run(argv, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return f"{done.stdout}\nexit status {done.returncode}"


def evaluate(checkout: Path, code: str) -> str:
    return run(checkout, sys.executable, "-c", code)


def test_every_project_file_is_found() -> None:
    listed = subprocess.check_output(["git", "ls-files", "*pyproject.toml"], cwd=ROOT, text=True).split()
    assert {each.directory / "pyproject.toml" for each in distributions().values()} == {ROOT / name for name in listed}


def test_a_distribution_comes_after_those_that_it_needs() -> None:
    names = list(distributions())
    for place, each in enumerate(distributions().values()):
        own = {re.match(r"[\w.-]+", line)[0] for line in each.project["dependencies"]} & {*names}  # type: ignore[index]
        assert own <= {*names[:place]}


def test_a_new_plugin_is_found(checkout: Path) -> None:
    assert set(plugins(checkout)) == {*plugins(), "hearth-zeta"}


def test_make_installs_a_new_plugin(checkout: Path) -> None:
    assert "-e plugins/hearth-zeta " in run(checkout, "make", "--dry-run", "--always-make", "install", "VENV=absent")


def test_ruff_takes_a_new_plugin_for_our_own(checkout: Path) -> None:
    (checkout / "tests/test_zeta.py").write_text(
        "from __future__ import annotations\n\nimport pytest\n\nimport hearth_zeta\n\n__all__ = [hearth_zeta, pytest]\n"
    )
    assert "exit status 0" in run(checkout, RUFF, "check", "--select=I", "tests/test_zeta.py")


def test_mypy_checks_a_new_plugin(checkout: Path) -> None:
    code = "from mypy.main import process_options; print(*(each.module for each in process_options([])[0]))"
    assert " hearth_zeta\n" in evaluate(checkout, code)


def test_the_contracts_of_plugins_hold_for_a_new_one(checkout: Path) -> None:
    said = run(checkout, sys.executable, "-m", "pytest", "-q", "tests/repository/test_imports.py")
    assert "AssertionError: hearth_zeta imports ['hearth.planning']" in said


def test_the_operators_image_carries_a_new_plugin(checkout: Path) -> None:
    code = "from tools.images.recipe import RECIPES; operator = RECIPES['operator']; print({})"
    assert "hearth-zeta" in evaluate(checkout, code.format("*operator.distributions"))
    assert "zeta-driver>=3" in evaluate(checkout, code.format("*operator.requirements()"))
