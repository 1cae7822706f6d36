"""`hearth plugins`, `explain` and `render`: what they print, and one clear line for everything that is wrong."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .support import hearth

SERVICE = """\
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {{name: {name}}}
spec:
  model: {{source: {{uri: "{uri}"}}}}
  runtime: {runtime}
"""


def service(name: str = "tiny", *, uri: str = "hf://acme/tiny", runtime: str = "{}") -> str:
    return SERVICE.format(name=name, uri=uri, runtime=runtime)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(service())
    return path


def test_version() -> None:
    assert hearth("--version").out.startswith("hearth 0.")


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(args: tuple[str, ...]) -> None:
    done = hearth(*args)
    assert all(f"\n  {command} " in done.out + done.err for command in ("explain", "plugins", "render"))


def test_plugins_as_lines() -> None:
    done = hearth("plugins", HEARTH_PLUGINS="fake,ghost")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["VENDOR", "TITLE", "DISTRIBUTION", "VERSION", "STATUS", "CAPABILITIES", "RUNTIMES"]
    assert ["fake", "Fake", "accelerators", "hearth-fake", "0.1.0", "ready", "local", "vllm-fake"] in lines
    assert ["ghost", "-", "-", "-", "error", "-", "-"] in lines
    assert done.err.startswith("ghost: HEARTH_PLUGINS names it, but no installed distribution provides")


def test_plugins_as_json() -> None:
    [fake] = json.loads(hearth("plugins", "--json", HEARTH_DISABLED_PLUGINS="fake").out)
    assert (fake["name"], fake["state"], fake["error"]) == ("fake", "disabled", "turned off by HEARTH_DISABLED_PLUGINS")
    [fake] = json.loads(hearth("plugins", "--json").out)
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


def test_explain(manifest: Path) -> None:
    done = hearth("explain", "-f", manifest)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("default/tiny on this machine\n  runtime vllm-fake\n    the only usable runtime;")
    assert "  cold request\n    held for at most 5m0s while a replica starts;" in done.out
    process = done.out.partition("  process (devices and port are given out at its start)\n")[2]
    assert process.split()[:2] == ["HEARTH_FAKE_VISIBLE_DEVICES=0", sys.executable]


def test_explain_for_a_cluster(manifest: Path) -> None:
    done = hearth("explain", "-f", manifest, "--target", "cluster")
    assert "default/tiny in a cluster" in done.out
    assert "  object apps/v1 Deployment tiny" in done.out


def test_explain_as_json_for_several_files(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(service("other"))
    done = hearth("explain", "-o", "json", "-f", manifest, "-f", tmp_path / "other.yaml")
    plans = json.loads(done.out)
    assert [plan["service"] for plan in plans] == ["tiny", "other"]
    assert plans[0]["runtime"] == "vllm-fake"
    assert plans[0]["scaling"]["activationTimeoutSeconds"] == 300
    assert plans[0]["reasons"]
    assert plans[0]["process"]["argv"][-4:] == ["--host", "127.0.0.1", "--port", "8000"]


def test_explain_shows_warnings(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(service(runtime="{argsOverride: [--served-model-name=x]}"))
    assert (
        "warning: spec.runtime.argsOverride changes --served-model-name"
        in hearth("explain", "-f", tmp_path / "w.yaml").out
    )


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
    assert (done.code, done.err.count("ai/a: there is another of this name")) == (2, 1)


def test_aliases_that_are_taken_are_warned_of(tmp_path: Path) -> None:
    manifests = "---\n".join(f"{service(name)}  endpoint: {{aliases: [x]}}\n" for name in ("a", "b"))
    (tmp_path / "m.yaml").write_text(manifests)
    taken = "spec.endpoint.aliases: 'x' has no effect: it leads to LLMService 'a'"
    assert f"warning: default/b: {taken}" in hearth("render", "-f", tmp_path / "m.yaml").err
    done = hearth("explain", "--target", "cluster", "-f", tmp_path / "m.yaml")
    assert "default: shared by its services\n  object v1 ServiceAccount hearth-gateway" in done.out
    assert f"  warning: b: {taken}" in done.out


def test_names_that_hearth_up_would_refuse_are_refused(tmp_path: Path) -> None:
    manifests = "---\n".join(f"{service(name)}  endpoint: {{aliases: [x]}}\n" for name in ("a", "b"))
    (tmp_path / "m.yaml").write_text(manifests)
    done = hearth("explain", "-f", tmp_path / "m.yaml")
    assert (done.code, done.out) == (2, "")
    assert "the model name 'x' is used by 'a' and 'b'; rename one" in done.err
    (tmp_path / "m.yaml").write_text(
        f"{service('a')}---\n{service('a').replace('{name: a}', '{name: a, namespace: ai}')}"
    )
    done = hearth("explain", "-f", tmp_path / "m.yaml")
    assert (done.code, done.out) == (2, "")
    assert "m.yaml:8: a: 'a' is also the name of a service in namespace 'default'; rename one" in done.err


def test_the_example_needs_a_plugin() -> None:
    example = Path(__file__).parents[2] / "examples" / "qwen3-8b.yaml"
    done = hearth("render", "-f", example)
    assert (done.code, done.out) == (2, "")
    assert "ai/qwen3-8b: spec.runtime.selector.vendor: no runtime of nvidia, ascend can be used" in done.err
    assert "pip install hearth-nvidia or hearth-ascend" in done.err


@pytest.mark.parametrize("command", ["explain", "render"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metadata: {name: [", "m.yaml:1"),
        (service(uri="s3://bucket"), "m.yaml:1: default/tiny: spec.model.source.uri: 's3://bucket' has no scheme"),
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
        f"error: {tmp_path}/m.yaml: no LLMService is in it; write one, or add its file\n",
    )


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
