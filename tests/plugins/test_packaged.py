"""Packaged runtimes: read from plugins, and what is wrong with those that block their vendor."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pytest

from hearth.plugins import PluginRejects, RuntimeManifest, VendorHost
from hearth.plugins.packaged import NotPackaged, read_packaged, runtime_manifests, shared_names
from tests.support.manifests import as_yaml, runtime
from tests.support.vendors import host, plugin


def shipping(directory: Path, vendor: str, *files: tuple[str, str]) -> object:
    manifests: list[RuntimeManifest] = []
    for name, text in files:
        file: Traversable = directory / f"{vendor}-{name}.yaml"
        (directory / f"{vendor}-{name}.yaml").write_text(text)
        manifests.append(RuntimeManifest(name, file))
    return plugin(vendor, hearth_runtimes=lambda: manifests)


def test_packaged_runtimes(tmp_path: Path) -> None:
    files = [(name, as_yaml(runtime(name))) for name in ("vllm-acme", "vllm-acme-big")]
    one = VendorHost.of({"acme": shipping(tmp_path, "acme", *files)})
    assert one.vendors[0].runtimes == ("vllm-acme", "vllm-acme-big")
    assert [runtime.manifest.metadata.name for runtime in one.runtimes()] == ["vllm-acme", "vllm-acme-big"]
    assert one.runtimes()[0].origin == "in-process-acme 0, acme-vllm-acme.yaml"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("vllm-acme", "kind: [", "hearth_runtimes"),
        ("vllm-acme", as_yaml(runtime("other")), "holds 'other', not 'vllm-acme'"),
        ("vllm-acme", as_yaml(runtime("vllm-acme", vendor="other")), "has spec.vendor 'other', not 'acme'"),
        (
            "vllm-acme",
            as_yaml(runtime("vllm-acme"), runtime("b")),
            "does not hold exactly one InferenceRuntime",
        ),
    ],
)
def test_a_broken_packaged_runtime_blocks_its_vendor(tmp_path: Path, name: str, text: str, problem: str) -> None:
    good = shipping(tmp_path, "good", ("vllm-good", as_yaml(runtime("vllm-good", vendor="good"))))
    one = VendorHost.of({"acme": shipping(tmp_path, "acme", (name, text)), "good": good})
    assert [runtime.manifest.metadata.name for runtime in one.runtimes()] == ["vllm-good"]
    acme, other = one.vendors
    assert acme.state == "error"
    assert problem in acme.error
    assert one.problem("acme") == acme.error
    assert other.state == "ready"


def refuse() -> None:
    raise PluginRejects("NoDriver", "install the driver")


def crash() -> Iterator[RuntimeManifest]:
    yield from ()
    raise KeyError("driver")


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        (refuse, "NoDriver: install the driver"),
        (crash, "KeyError: 'driver'"),
        (lambda: 42, "it returned 42, not RuntimeManifests"),
        (lambda: ["vllm"], "it returned 'vllm' among its runtimes"),
    ],
)
def test_a_failing_list_of_runtimes_blocks_its_vendor(hook: Any, problem: str) -> None:
    for listed_first in (True, False):
        one = host(hearth_runtimes=hook)
        if not listed_first:
            assert one.runtimes() == ()
        [status] = one.vendors
        assert status.state == "error"
        assert problem in status.error
        assert one.runtimes() == ()
        assert problem in str(one.problem("acme"))


def test_two_vendors_that_ship_one_name_are_both_blocked(tmp_path: Path) -> None:
    one = VendorHost.of(
        {
            vendor: shipping(tmp_path, vendor, ("vllm", as_yaml(runtime("vllm", vendor=vendor))))
            for vendor in ("beta", "alpha")
        }
    )
    assert one.runtimes() == ()
    assert {status.error for status in one.vendors} == {"the runtime 'vllm' is shipped by alpha and beta"}


def test_no_runtimes_are_none() -> None:
    assert runtime_manifests(None) == ()


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(NotPackaged, match="No such file"):
        read_packaged(RuntimeManifest("vllm", tmp_path / "absent.yaml"), vendor="acme", source="hearth-acme 1.0")


def test_the_text_is_the_file_as_it_was_shipped(tmp_path: Path) -> None:
    text = f"# Where it comes from.\n{as_yaml(runtime('vllm'))}"
    (tmp_path / "vllm.yaml").write_text(text)
    packaged = read_packaged(RuntimeManifest("vllm", tmp_path / "vllm.yaml"), vendor="acme", source="hearth-acme 1.0")
    assert (packaged.text, packaged.origin) == (text, "hearth-acme 1.0, vllm.yaml")
    assert shared_names({"acme": [packaged]}) == {}
    assert shared_names({"a": [packaged], "b": [packaged]}) == dict.fromkeys(
        "ab", "the runtime 'vllm' is shipped by a and b"
    )
