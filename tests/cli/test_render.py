"""`hearth render`: the objects, their order, and the options for gateways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.cli.support import hearth, service


def test_render_from_standard_input() -> None:
    done = hearth("render", "-f", "-", stdin=service(runtime="{argsOverride: [--port=9]}"))
    objects = [f"{item['kind']} {item['metadata']['name']}" for item in yaml.safe_load_all(done.out)]
    assert objects[0] == "ServiceAccount hearth-gateway"
    assert objects[-2:] == ["Deployment tiny", "ScaledObject tiny"]
    assert objects.count("Service tiny") == 1
    assert done.err.startswith("warning: default/tiny: --port 9 among the arguments differs")


@pytest.mark.parametrize("command", [("render", "-f", "m.yaml"), ("operator",)])
def test_a_wrong_word_about_gateways_is_a_wrong_argument(command: tuple[str, ...]) -> None:
    done = hearth(*command, "--gateway-pod", '{"resources": {"limits": {"memory": "4GB"}}}')
    assert done.code == 2
    assert "--gateway-pod: resources.limits.memory: '4GB' is not a quantity" in " ".join(done.err.split())


def test_render_for_another_cluster(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        f"{service('a')}---\n{service('b').replace('{name: b}', '{name: b, namespace: other}')}"
    )
    options = ("--scaler", "metrics-api", "--gateway-image", "own:1", "--gateway-replicas", "2", "-n", "ai")
    options += ("--gateway-pod", '{"priorityClassName": "high"}')
    done = hearth("render", "-f", tmp_path / "m.yaml", *options)
    objects = list(yaml.safe_load_all(done.out))
    assert list(dict.fromkeys(item["metadata"]["namespace"] for item in objects)) == ["ai", "other"]
    kinds = [item["kind"] for item in objects]
    assert kinds.count("PodDisruptionBudget") == 2
    gateways = [item for item in objects if item["metadata"]["name"] == "hearth-gateway"]
    images = [
        item["spec"]["template"]["spec"]["containers"][0]["image"] for item in gateways if item["kind"] == "Deployment"
    ]
    assert images == ["own:1", "own:1"]
    pods = [item["spec"]["template"]["spec"] for item in gateways if item["kind"] == "Deployment"]
    assert [pod["priorityClassName"] for pod in pods] == ["high", "high"]
    assert {item["spec"]["triggers"][0]["type"] for item in objects if item["kind"] == "ScaledObject"} == {
        "metrics-api"
    }
    assert '  services.json: |\n    {"services": [\n      {"name": "a", "namespace": "ai",' in done.out


def test_services_that_get_in_each_others_way(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(f"{service('a')}---\n{service('a-backend')}---\n{service('b')}")
    done = hearth("render", "-f", tmp_path / "m.yaml")
    assert (done.code, done.out) == (2, "")
    assert "m.yaml:8: default/a-backend: metadata.name: 'a-backend' needs the Service 'a-backend'" in done.err
    (tmp_path / "m.yaml").write_text(
        f"{service('a')}---\n{service('a').replace('{name: a}', '{name: a, namespace: ai}')}"
    )
    assert hearth("render", "-f", tmp_path / "m.yaml").code == 0
    done = hearth("render", "-f", tmp_path / "m.yaml", "-n", "ai")
    assert (done.code, done.err.count("ai/a: another service has this name")) == (2, 1)


def test_aliases_that_are_taken_are_warned_of(tmp_path: Path) -> None:
    manifests = "---\n".join(f"{service(name)}  endpoint: {{aliases: [x]}}\n" for name in ("a", "b"))
    (tmp_path / "m.yaml").write_text(manifests)
    taken = "spec.endpoint.aliases: 'x' has no effect: it leads to LLMService 'a'"
    assert f"warning: default/b: {taken}" in hearth("render", "-f", tmp_path / "m.yaml").err
    done = hearth("explain", "--target", "cluster", "-f", tmp_path / "m.yaml")
    assert "default: shared by its services\n  object v1 ServiceAccount hearth-gateway" in done.out
    assert f"  warning: b: {taken}" in done.out


def test_the_example_needs_a_plugin() -> None:
    example = Path(__file__).parents[2] / "examples" / "qwen3-8b.yaml"
    done = hearth("render", "-f", example)
    assert (done.code, done.out) == (2, "")
    assert "ai/qwen3-8b: spec.runtime.selector.vendor: no runtime of nvidia, ascend can be used" in done.err
    assert "pip install hearth-nvidia or hearth-ascend" in done.err


def test_images_are_in_the_registry_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(service("a"))
    done = hearth("render", "-f", tmp_path / "m.yaml", "--image-registry", "registry.example.com:5000/hearth")
    assert (done.code, done.err) == (0, "")
    images = re.findall(r"image: (\S+)", done.out)
    assert set(images) == {
        "registry.example.com:5000/hearth/hearth-gateway:0.1.0",
        "registry.example.com:5000/hearth/hearth-vllm-stub:0.1.0",
    }


def test_images_that_no_node_can_pull_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(service("a"))
    done = hearth("render", "-f", tmp_path / "m.yaml", "--gateway-image", "own:1")
    assert done.err.splitlines() == [
        "warning: no node can pull localhost/hearth-vllm-stub:0.1.0; push it to a registry, and set --image-registry"
    ]


@pytest.mark.parametrize("registry", ["https://a.example", "a.example/", "A.example", "a b", "hearth", "team/hearth"])
def test_what_is_no_registry_is_refused(registry: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(service("a"))
    done = hearth("render", "-f", tmp_path / "m.yaml", "--image-registry", registry)
    assert done.code == 2
    assert f"{registry!r} is not the name of a registry" in " ".join(done.err.split())
