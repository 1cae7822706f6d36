"""`hearth explain`: what it says for each target, and its document."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.cli.support import hearth, service


def test_explain(manifest: Path) -> None:
    done = hearth("explain", "-f", manifest)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("default/tiny on this machine\n  runtime vllm-fake\n    the only usable runtime;")
    assert "  cold request\n    held for at most 5m0s while a replica starts;" in done.out
    process = done.out.partition("  process (devices and port are assigned when it starts)\n")[2]
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
