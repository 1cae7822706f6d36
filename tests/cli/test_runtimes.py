"""`hearth runtimes list`, `show` and `render`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.support import hearth

ROOT = Path(__file__).parents[2]
AMD = ROOT / "examples" / "vendors" / "amd.yaml"
SERVICE = """\
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {name: tiny, namespace: ai}
spec:
  model: {source: {uri: hf://acme/tiny}}
  runtime: {selector: {vendor: [nobody]}, argsOverride: [--max-model-len=64]}
  resources: {accelerators: 2}
"""
OWN = """\
---
apiVersion: serving.hearth.dev/v1alpha1
kind: InferenceRuntime
metadata: {name: vllm-fake}
spec: {vendor: fake, priority: 5, container: {image: mine}, accelerator: {resourceName: hearth.dev/fake-accelerator}}
"""


def test_the_list_has_what_plugins_ship_and_what_files_hold() -> None:
    done = hearth("runtimes", "list", "-f", AMD, HEARTH_PLUGINS="fake,nvidia")
    assert (done.code, done.err) == (0, "")
    lines = [line.split(maxsplit=4) for line in done.out.splitlines()]
    assert lines[0] == ["NAME", "VENDOR", "PRIORITY", "SUPPORT", "ORIGIN"]
    assert ["vllm-nvidia", "nvidia", "-10", "documented", "hearth-nvidia 0.1.0, vllm-nvidia.yaml"] in lines
    assert ["vllm-amd", "amd", "-10", "unverified", str(AMD)] in lines
    assert [line[0] for line in lines[1:]] == sorted(line[0] for line in lines[1:])


def test_the_list_as_json() -> None:
    [fake] = json.loads(hearth("runtimes", "list", "-o", "json").out)
    assert set(fake) == {"name", "vendor", "priority", "support", "origin"}
    assert (fake["name"], fake["origin"]) == ("vllm-fake", "hearth-fake 0.1.0, vllm-fake.yaml")


def test_a_runtime_of_a_file_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    [fake] = json.loads(hearth("runtimes", "list", "-o", "json", "-f", path).out)
    assert (fake["priority"], fake["origin"]) == (5, str(path))


def test_a_plugin_that_cannot_be_used_is_told_of() -> None:
    done = hearth("runtimes", "list", HEARTH_PLUGINS="fake,ghost")
    assert done.code == 0
    assert done.err.startswith("ghost: HEARTH_PLUGINS names it")


@pytest.mark.parametrize(
    ("name", "files"), [("vllm-nvidia-a10", []), ("vllm-ascend-a3", []), ("vllm-amd", ["-f", str(AMD)])]
)
def test_show_prints_the_file_with_its_comments(name: str, files: list[str]) -> None:
    done = hearth("runtimes", "show", name, *files, HEARTH_PLUGINS="nvidia,ascend")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("# ")
    assert "# Support: " in done.out
    assert yaml.safe_load(done.out)["metadata"]["name"] == name


def test_show_of_one_object_among_several(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(SERVICE + OWN)
    shown = yaml.safe_load(hearth("runtimes", "show", "vllm-fake", "-f", path).out)
    assert (shown["kind"], shown["spec"]["container"]) == ("InferenceRuntime", {"image": "mine"})


def test_show_from_standard_input() -> None:
    shown = yaml.safe_load(hearth("runtimes", "show", "vllm-fake", "-f", "-", stdin=OWN).out)
    assert shown["spec"]["container"] == {"image": "mine"}


def test_show_as_json_is_the_object() -> None:
    shown = json.loads(hearth("runtimes", "show", "vllm-fake", "-o", "json").out)
    assert (shown["kind"], shown["metadata"], shown["spec"]["vendor"]) == (
        "InferenceRuntime",
        {"name": "vllm-fake"},
        "fake",
    )


def test_render_a_sample() -> None:
    done = hearth("runtimes", "render", "vllm-nvidia", HEARTH_PLUGINS="nvidia")
    pod = yaml.safe_load(done.out)
    assert (pod["apiVersion"], pod["kind"], pod["metadata"]["name"]) == ("v1", "Pod", "sample")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert done.err == ""


def test_render_for_a_service_whatever_it_selects(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(SERVICE)
    done = hearth("runtimes", "render", "vllm-ascend-a3", "-f", path, HEARTH_PLUGINS="ascend")
    pod = yaml.safe_load(done.out)
    assert (pod["metadata"]["name"], pod["metadata"]["namespace"]) == ("tiny", "ai")
    serving = pod["spec"]["containers"][0]
    assert serving["args"][-2:] == ["--tensor-parallel-size=4", "--max-model-len=64"]
    assert serving["resources"]["limits"]["huawei.com/Ascend910"] == "4"


@pytest.mark.parametrize("command", ["show", "render"])
def test_a_name_that_is_not_there(command: str) -> None:
    done = hearth("runtimes", command, "vllm-fak")
    assert done.code == 2
    assert done.err == (
        "error: NAME: there is no InferenceRuntime 'vllm-fak'; did you mean 'vllm-fake'? known: vllm-fake\n"
    )


def test_a_vendor_that_refuses_says_why(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(SERVICE.replace("accelerators: 2", "accelerators: 2, fraction: {memory: 8Gi}"))
    done = hearth("runtimes", "render", "vllm-ascend-910b3-hami", "-f", path, HEARTH_PLUGINS="ascend")
    assert done.code == 2
    assert "HAMi refuses parts of several NPUs" in done.err


def test_without_a_command_the_commands_are_listed() -> None:
    done = hearth("runtimes")
    assert all(f"  {command} " in done.out + done.err for command in ("list", "show", "render"))
