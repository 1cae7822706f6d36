"""The Job that downloads the weights."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hearth.planning import (
    Plan,
)
from tests.planning.plans import one
from tests.planning.validity import of, restricted


def job(made: Plan) -> Any:
    [item] = of(made.objects, "Job")
    return item


PREWARM: dict[str, Any] = {"cache": {"prewarm": True}}


def test_prewarm_downloads_what_the_engine_will_ask_for() -> None:
    for args, expected in (([], ["acme/tiny"]), (["--revision=v2"], ["acme/tiny", "v2"])):
        made = job(one({**PREWARM, "runtime": {"argsOverride": args}}))
        [container] = made["spec"]["template"]["spec"]["containers"]
        assert (container["image"], container["args"]) == ("engine:1", expected)


@pytest.mark.parametrize(
    ("uri", "module", "expected"),
    [
        ("hf://a/b", "huggingface_hub", {"ignore_patterns": ["original/*"], "revision": "v2"}),
        ("modelscope://a/b", "modelscope", {"revision": "v2"}),
    ],
)
def test_prewarm_runs(uri: str, module: str, expected: dict[str, Any], tmp_path: Path) -> None:
    """The command as it stands in the Job, with a library that only says how it was called."""
    (tmp_path / f"{module}.py").write_text("def snapshot_download(*args, **kwargs): return [args, kwargs]\n")
    spec = {**PREWARM, "model": {"source": {"uri": uri}}, "runtime": {"argsOverride": ["--revision", "v2"]}}
    [container] = job(one(spec))["spec"]["template"]["spec"]["containers"]
    argv = [sys.executable, *container["command"][1:], *container["args"]]
    done = subprocess.run(argv, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == [("a/b",), expected]


def test_prewarm_uses_the_engines_place_and_none_of_its_devices() -> None:
    runtime_spec = {
        "container": {
            "image": "e",
            "env": [
                {"name": "HF_ENDPOINT", "value": "http://mirror"},
                {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}},
                {"name": "HF_HUB_OFFLINE", "value": "1"},
                {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
                {"name": "TORCH_DEVICE_BACKEND_AUTOLOAD", "value": "1"},
                {"name": "ACME_VISIBLE_DEVICES", "value": "all"},
            ],
        },
        "accelerator": {
            "resourceName": "acme.dev/chip",
            "nodeSelector": {"chip": "big"},
            "tolerations": [{"key": "acme.dev/chip", "operator": "Exists"}],
            "nodeRequirements": [{"key": "old", "operator": "DoesNotExist"}],
            "scheduler": {"name": "volcano", "queue": "llm"},
        },
        "pod": {
            "runtimeClassName": "acme",
            "hostMounts": [{"hostPath": "/opt/driver"}],
            "securityContext": {"runAsUser": 1000, "fsGroup": 1000, "seccompProfile": {"type": "Unconfined"}},
            "containerSecurityContext": {"runAsGroup": 39, "privileged": True},
            "noDeviceEnv": [{"name": "ACME_VISIBLE_DEVICES", "value": "void"}],
        },
    }
    made = one({**PREWARM, "imagePullSecrets": [{"name": "reg"}]}, runtime_spec)
    pod = job(made)["spec"]["template"]["spec"]
    serving = made.pod["spec"]
    assert all(
        pod[field] == serving[field] for field in ("nodeSelector", "tolerations", "affinity", "imagePullSecrets")
    )
    assert not {"schedulerName", "runtimeClassName"} & set(pod)
    assert pod["volumes"] == [{"name": "cache", "persistentVolumeClaim": {"claimName": "tiny-cache"}}]
    restricted(pod, root=True)
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 1000
    [container] = pod["containers"]
    assert container["securityContext"]["runAsGroup"] == 39
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert env["TORCH_DEVICE_BACKEND_AUTOLOAD"] == "0"
    assert env["ACME_VISIBLE_DEVICES"] == "void"
    assert env["HF_ENDPOINT"] == "http://mirror"
    assert env["HF_HOME"] == "/cache/hf"
    assert "HF_TOKEN" in env
    assert not {"HF_HUB_OFFLINE", "LIMIT"} & set(env)
    labels = job(made)["spec"]["template"]["metadata"]["labels"]
    assert "serving.hearth.dev/llmservice" not in labels  # or its pods would be backends


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"cache": {"prewarm": True, "strategy": "None"}},
        {**PREWARM, "model": {"source": {"uri": "pvc://weights"}}},
    ],
)
def test_nothing_to_prewarm(spec: dict[str, Any]) -> None:
    assert not of(one(spec).objects, "Job")


def test_the_jobs_digest_tells_when_it_has_to_be_replaced() -> None:
    def digest(*args: Any) -> str:
        return str(job(one(*args))["metadata"]["annotations"]["serving.hearth.dev/template"])

    assert digest(PREWARM) == digest({**PREWARM, "scaling": {"max": 2}})
    assert digest(PREWARM) != digest({**PREWARM, "model": {"source": {"uri": "hf://acme/other"}}})
    assert digest(PREWARM) != digest(PREWARM, {"container": {"image": "engine:2"}})
