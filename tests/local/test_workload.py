"""Workload of a plan: its numbers, and what restarts a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hearth.plugins import VendorHost
from tests.local.instance import load, service


def test_a_workload_has_the_numbers_of_its_manifest(tmp_path: Path, host: VendorHost) -> None:
    (load_,) = load(tmp_path, host, service("qwen", min=1, max=3, target=7, drainTimeout="45s")).workloads
    assert (load_.scaling.min, load_.scaling.max, load_.scaling.target, load_.scaling.cooldown) == (1, 3, 7, 1.0)
    assert (load_.vendor, load_.runtime, load_.devices, load_.drain_timeout) == ("fake", "vllm-fake", 1, 45.0)
    assert "--port" in load_.launch(["1"], 20001).argv


def test_only_what_the_process_sees_changes_the_fingerprint(tmp_path: Path, host: VendorHost) -> None:
    def fingerprint(document: dict[str, Any]) -> str:
        return load(tmp_path, host, document).workloads[0].fingerprint

    same = fingerprint(service("qwen"))
    assert fingerprint(service("qwen", max=4, target=3, scaleDownStabilization="9s")) == same
    changed = service("qwen")
    changed["spec"]["runtime"]["argsOverride"] = ["--max-model-len=1"]
    assert fingerprint(changed) != same
