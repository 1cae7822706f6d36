"""Configuration: plans of the manifests, what still runs, and the devices that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.api import ManifestErrors
from hearth.local.configuration import signature, with_kept
from hearth.plugins import VendorHost
from tests.local.instance import load, service
from tests.support import manifests


def test_a_data_only_runtime_without_devices_needs_none(tmp_path: Path, host: VendorHost) -> None:
    runtime = manifests.runtime("cpu", vendor="cpu", adapter="generic", local={"command": ["serve"]})
    wanted = service("qwen")
    wanted["spec"]["runtime"] = {"name": "cpu"}
    assert load(tmp_path, host, wanted, runtime).workloads[0].devices == 0
    runtime["spec"]["local"]["devices"] = ["a", "b"]
    configuration = load(tmp_path, host, wanted, runtime)
    assert configuration.workloads[0].devices == 1
    assert [device.id for device in configuration.inventories[0].listed] == ["a", "b"]


def test_names_that_collide_on_one_machine_are_refused(tmp_path: Path, host: VendorHost) -> None:
    other = service("qwen")
    other["metadata"]["namespace"] = "ai"
    with pytest.raises(ManifestErrors, match="'qwen' is also the name of a service in namespace 'default'; rename one"):
        load(tmp_path, host, service("qwen"), other)
    aliased = service("llama")
    aliased["spec"]["endpoint"] = {"aliases": ["qwen"]}
    with pytest.raises(ManifestErrors, match="the model name 'qwen' is used by"):
        load(tmp_path, host, service("qwen"), aliased)


def test_no_service_at_all_is_an_error(tmp_path: Path, host: VendorHost) -> None:
    with pytest.raises(ManifestErrors, match="contains no LLMService; write one"):
        load(tmp_path, host, manifests.runtime("cpu", vendor="cpu", adapter="generic", local={"command": ["serve"]}))


def test_a_service_that_no_longer_plans_keeps_running_as_it_was(tmp_path: Path, host: VendorHost) -> None:
    running = load(tmp_path, host, service("a"), service("b"), service("c"))
    broken = service("a")
    broken["spec"]["runtime"] = {"name": "nosuch"}
    unknown = service("d")
    unknown["spec"]["runtime"] = {"name": "nosuch"}
    merged = with_kept(load(tmp_path, host, broken, service("b", max=5), unknown), running)
    by_name = {load_.name: load_ for load_ in merged.workloads}
    assert set(by_name) == {"a", "b"}, "a keeps running, c was removed, d cannot run"
    assert by_name["a"] is running.workloads[0]
    assert by_name["b"].scaling.max == 5
    assert set(merged.unplanned) == {"d"}
    assert [inventory.vendor for inventory in merged.inventories] == ["fake"]


def test_a_signature_notices_files_and_what_is_in_directories(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    seen = {signature([directory])}
    directory.mkdir()
    seen.add(signature([directory]))
    (directory / "a.yaml").write_text("1")
    seen.add(signature([directory]))
    (directory / "a.yaml").write_text("22")
    seen.add(signature([directory]))
    (directory / "b.yml").write_text("")
    seen.add(signature([directory]))
    assert len(seen) == 5
    assert signature([directory]) == signature([directory])


def test_a_signature_outlives_a_directory_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("1")
    readable = signature([tmp_path])

    def refused(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    assert signature([tmp_path]) != readable
