"""Inputs of commands: one clear line for everything that is wrong with the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import hearth, service


@pytest.mark.parametrize("command", ["explain", "render"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metadata: {name: [", "m.yaml:1"),
        (
            service(uri="s3://bucket"),
            "m.yaml:1: default/tiny: spec.model.source.uri: 's3://bucket' has an unknown scheme",
        ),
        (service(runtime="{name: ghost}"), "there is no InferenceRuntime 'ghost'; known: vllm-fake"),
        (service(runtime="{selector: {vendor: [nvidia]}}"), "pip install hearth-nvidia"),
        (service(runtime="{selector: {vendor: [fake]}, argsOverrides: []}"), "m.yaml:6: spec.runtime.argsOverrides"),
        ("", "m.yaml: no object is in it"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, command: str, text: str, said: str) -> None:
    (tmp_path / "m.yaml").write_text(text)
    done = hearth(command, "-f", tmp_path / "m.yaml")
    assert (done.code, done.out) == (2, "")
    assert all(line.startswith("error: ") for line in done.err.splitlines())
    assert said in done.err


def test_every_error_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(f"{service(uri='s3://x')}---\n{service('other', runtime='{name: ghost}')}")
    done = hearth("explain", "-f", tmp_path / "m.yaml")
    assert [line.split(": ")[1].rpartition(":")[2] for line in done.err.splitlines()] == ["1", "8"]


def test_a_file_that_is_missing() -> None:
    done = hearth("explain", "-f", "/nowhere/m.yaml")
    assert (done.code, done.err) == (2, "error: /nowhere/m.yaml: there is no such file; check the path\n")


def test_a_file_without_services(tmp_path: Path) -> None:
    runtime = """\
apiVersion: serving.hearth.dev/v1alpha1
kind: InferenceRuntime
metadata: {name: own}
spec: {vendor: fake, container: {image: e}, accelerator: {resourceName: a.dev/b}}
"""
    (tmp_path / "m.yaml").write_text(runtime)
    done = hearth("explain", "-f", tmp_path / "m.yaml")
    assert (done.code, done.err) == (
        2,
        f"error: {tmp_path}/m.yaml: contains no LLMService; write one, or add its file\n",
    )
