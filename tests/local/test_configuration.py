"""From manifests to workloads, keeping what still runs, and reading what a vendor wants to know of the machine."""

import sys
from pathlib import Path
from typing import Any

import pytest

from hearth.api import ManifestErrors
from hearth.api.errors import HearthError
from hearth.local.configuration import Configuration, load_configuration, signature, with_kept
from hearth.local.devices import Pool
from hearth.local.inventory import read_pools, read_source
from hearth.plugins import InventorySource, VendorHost

from .conftest import service, write


@pytest.fixture(scope="module")
def host() -> VendorHost:
    return VendorHost.load()


def cpu_runtime() -> dict[str, Any]:
    return {
        "apiVersion": "serving.hearth.dev/v1alpha1",
        "kind": "InferenceRuntime",
        "metadata": {"name": "cpu"},
        "spec": {
            "vendor": "cpu",
            "adapter": "generic",
            "container": {"image": "none"},
            "accelerator": {"resourceName": "hearth.dev/cpu"},
            "local": {"command": ["serve"]},
        },
    }


def load(path: Path, host: VendorHost, *documents: dict[str, Any]) -> Configuration:
    return load_configuration([write(path / "a.yaml", *documents)], host)


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


def test_a_data_only_runtime_without_devices_needs_none(tmp_path: Path, host: VendorHost) -> None:
    runtime = cpu_runtime()
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
        load(tmp_path, host, cpu_runtime())


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


# --- inventory ------------------------------------------------------------------------------------------------------


async def test_devices_of_the_fake_vendor_follow_the_environment(tmp_path: Path, host: VendorHost) -> None:
    inventories = load(tmp_path, host, service("qwen")).inventories
    assert await read_pools(inventories, host, {"HEARTH_FAKE_DEVICES": "3"}) == (Pool("fake", ("0", "1", "2")),)
    (pool,) = await read_pools(inventories, host, {"HEARTH_FAKE_DEVICES": "many"})
    assert pool.devices == ()
    assert pool.error is not None
    assert "HEARTH_FAKE_DEVICES='many' is not a number" in pool.error


def test_only_the_variables_that_were_asked_for_are_read() -> None:
    output = read_source(InventorySource(environment=("ONE", "TWO")), {"ONE": "1", "SECRET": "x"})
    assert output.environment == {"ONE": "1"}
    assert read_source(None, {}).stdout == ""


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("nosuch-smi",), "nosuch-smi was not found; install the vendor's driver"),
        ((__file__,), "cannot be run: Permission denied"),
        ((sys.executable, "-c", "import sys; sys.exit('no devices were found')"), "exit code 1: no devices were found"),
        ((sys.executable, "-c", "import time; time.sleep(9)"), "did not answer within 0.2 s"),
    ],
)
def test_a_vendor_tool_that_fails_is_named(
    command: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in command[-1]:
        monkeypatch.setattr("hearth.local.inventory.TIMEOUT", 0.2)
    with pytest.raises(HearthError, match=message):
        read_source(InventorySource(command=command), {})


def test_a_vendor_tool_that_answers() -> None:
    source = InventorySource(command=(sys.executable, "-c", "print('0, H200')"))
    assert read_source(source, {}).stdout == "0, H200\n"
