"""Every command and value in README and operations.md exists, and they mention all that there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from hearth.api import parse_manifests
from hearth.cli.app import app
from tests.chart import expositions
from tests.chart.support import CHART, REGISTRY, ROOT, alerts

DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "operations.md"]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
PROGRAMS = {"curl", "helm", "hearth", "kubectl", "make", "."}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(path: Path) -> Iterator[list[str]]:
    """Return the words of every command of a document: those of its shell blocks, and whole commands in prose."""
    text = path.read_text()
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r" \| | && ", line):
                if words := shlex.split(command, comments=True):
                    yield words
    for quoted in re.findall(
        r"`((?:make|hearth|kubectl|helm) [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    ):
        yield shlex.split(quoted)


CASES = [pytest.param(words, id=" ".join(words)[:60]) for path in DOCUMENTS for words in commands(path)]


@pytest.mark.parametrize("words", CASES)
def test_every_command_exists(words: list[str]) -> None:
    program, *rest = words
    assert program in PROGRAMS
    for word in rest:
        if word.startswith(("charts/", "docs/", "examples/")):
            assert (ROOT / word).exists(), word
    if program == "make":
        targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert rest[0] in targets, f"make has no target {rest[0]}"
    if program == "hearth":
        assert rest[0] in get_command(app).commands, f"hearth has no command {rest[0]}"  # type: ignore[attr-defined]
    for value in re.findall(r"--set ([\w.]+)=", " ".join(words)):
        found = yaml.safe_load((CHART / "values.yaml").read_text())
        for key in value.split("."):
            assert key in found, f"the chart has no value {value}"
            found = found[key]


def test_the_cluster_takes_four_commands_and_the_manifest_above_them() -> None:
    text = (ROOT / "README.md").read_text()
    section = re.search(r"^## In a cluster\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section
    [block] = blocks(section[1], "sh")
    push, install, apply, wait = (shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines())
    assert push == ["make", "push", f"REGISTRY={REGISTRY}"]
    assert install[:4] == ["helm", "install", "hearth", "charts/hearth"]
    assert install[-1] == f"image.registry={REGISTRY}"
    [manifest] = [each for each in blocks(text, "yaml") if each.startswith(f"# {apply[-1]}\n")]
    [service] = parse_manifests(manifest).services
    assert wait[-1] == service.metadata.name


def test_there_is_something_to_do_at_every_alert() -> None:
    described = re.findall(r"^### (Hearth\w+)$", OPERATIONS, re.MULTILINE)
    assert described == list(alerts())


def test_every_series_is_explained() -> None:
    text = re.sub(r"`_(\w+)` \|", r"`hearth_gateway_\1` |", OPERATIONS)
    rows = set(re.findall(r"`(hearth_\w+)`", text))
    said = set(expositions.labels_by_series(expositions.gateway_text(), expositions.operator_text()))
    own = {name for name in said if name.startswith("hearth_") and not name.endswith("_created")}
    series = {re.sub(r"_(bucket|sum|count)$", "", name) for name in own}
    assert {name for name in series if not name.endswith("_info")} <= rows
    assert rows <= series


def test_every_value_that_is_named_exists() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    groups = "|".join(values)
    for named in re.findall(rf"`((?:{groups})\.[\w.]+)`", OPERATIONS):
        found = values
        for key in named.split("."):
            assert key in found, f"the chart has no value {named}"
            found = found[key]


def test_every_link_leads_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
