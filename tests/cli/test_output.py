"""Output for programs: the same document in every form, and manifests that kubectl takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from hearth.cli.app import app
from hearth.cli.output import ManifestOutput, Output, write_document, write_manifests
from tests.cli.peer import Peer
from tests.cli.support import hearth

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
SHAPES: dict[str, Any] = {
    command: json.loads(example)
    for command, example in re.findall(r"^### `([^`]+)`\n.*?^```json\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)
}
CALLS: dict[str, Sequence[str]] = {
    "hearth get": ("get",),
    "hearth explain": ("explain", "-f", "{manifest}"),
    "hearth plugins": ("plugins",),
    "hearth plugins check": ("plugins", "check", "fake", "--examples", "1"),
    "hearth runtimes list": ("runtimes", "list"),
}


def shape(value: Any) -> Any:
    """Return what is fixed of a document: names of fields and types; an empty or absent part has any shape."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def agree(documented: Any, real: Any) -> bool:
    if real in ("NoneType", []) or documented in ("NoneType", []):
        return True
    if isinstance(documented, dict) and isinstance(real, dict):
        free = not documented or not real
        return free or (
            documented.keys() == real.keys() and all(agree(documented[key], real[key]) for key in documented)
        )
    if isinstance(documented, list) and isinstance(real, list):
        return agree(documented[0], real[0])
    return bool(documented == real)


@pytest.mark.parametrize(("command", "args"), CALLS.items())
def test_documents_have_the_documented_shape(command: str, args: Sequence[str], manifest: Path, peer: Peer) -> None:
    args = [arg.format(manifest=manifest) for arg in args]
    documents = [json.loads(hearth(*args, "-o", "json").out), yaml.safe_load(hearth(*args, "-o", "yaml").out)]
    for document in documents:
        assert agree(shape(SHAPES[command]), shape(document)), json.dumps(document, indent=2)


def commands_for_programs(name: str, command: Any) -> Iterator[str]:
    """Return the commands, from this one down, that have `-o table`, and so print documents besides."""
    if any("table" in getattr(type(each.default), "__members__", ()) for each in command.params):
        yield name
    for part, each in getattr(command, "commands", {}).items():
        yield from commands_for_programs(f"{name} {part}", each)


def test_every_document_has_a_documented_shape() -> None:
    assert {*SHAPES} == {*CALLS} == {*commands_for_programs("hearth", typer.main.get_command(app))}


@pytest.mark.parametrize(
    "args", [("plugins",), ("plugins", "check", "fake"), ("runtimes", "list"), ("get",), ("explain", "-f", "m.yaml")]
)
def test_there_is_one_way_to_ask_for_json(args: Sequence[str]) -> None:
    done = hearth(*args, "--json")
    assert (done.code, done.out) == (2, "")
    assert "No such option: --json" in done.err


def test_yaml_has_no_aliases(capsys: pytest.CaptureFixture[str]) -> None:
    shared = {"a": 1}
    write_document([shared, shared, {"text": "one\ntwo\n"}], Output.yaml)
    assert capsys.readouterr().out == "- a: 1\n- a: 1\n- text: |\n    one\n    two\n"


def test_several_manifests_are_a_list_in_json_and_a_stream_in_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    pods = [{"kind": "Pod", "n": number} for number in range(2)]
    write_manifests(pods, ManifestOutput.json)
    assert json.loads(capsys.readouterr().out) == {"apiVersion": "v1", "kind": "List", "items": pods}
    write_manifests(pods[:1], ManifestOutput.json)
    assert json.loads(capsys.readouterr().out) == pods[0]
    write_manifests(pods, ManifestOutput.yaml)
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == pods


@pytest.mark.parametrize(
    "args",
    [("render", "-f", "{manifest}"), ("crds",), ("runtimes", "render", "vllm-fake")],
)
def test_manifests_are_the_same_in_both_forms(args: Sequence[str], manifest: Path) -> None:
    args = [arg.format(manifest=manifest) for arg in args]
    as_json = json.loads(hearth(*args, "-o", "json").out)
    assert list(yaml.safe_load_all(hearth(*args).out)) == (as_json["items"] if as_json["kind"] == "List" else [as_json])
