"""Which runtime is chosen, and what is said when none can be."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from hearth.api import HearthError
from hearth.planning import PlanningError, available_runtimes
from hearth.planning.selection import Selection, select_runtime
from hearth.plugins import Candidate, VendorHost
from tests.planning.plans import runtime, service
from tests.support.vendors import host, plugin

ACME = runtime(vendor="acme")
ACME_FAST = runtime({"priority": 10}, vendor="acme", name="vllm-acme-fast")
ZETA = runtime({"priority": 99}, vendor="zeta")
ALL = (ACME, ACME_FAST, ZETA)


def by(vendors: list[str] | None = None, name: str | None = None) -> Any:
    return service({"runtime": {"name": name, "selector": {"vendor": vendors or []}}})


def refusal(
    made: Any, *runtimes: Any, vendors: tuple[str, ...] = ("acme", "zeta"), target: Any = "cluster"
) -> PlanningError:
    with pytest.raises(PlanningError) as caught:
        select_runtime(made, runtimes, host(*vendors), target)
    return caught.value


def said(chosen: Selection) -> tuple[str, ...]:
    return tuple(map(str, chosen.reasons))


def test_by_name() -> None:
    chosen = select_runtime(by(name="vllm-acme"), ALL, host("acme", "zeta"), "cluster")
    assert chosen.runtime is ACME
    assert said(chosen) == ("runtime vllm-acme: named by spec.runtime.name",)


def test_by_name_against_the_selector_is_a_warning() -> None:
    chosen = select_runtime(by(["zeta"], "vllm-acme"), ALL, host("acme", "zeta"), "cluster")
    assert chosen.runtime is ACME
    assert "which spec.runtime.selector.vendor does not list" in chosen.warnings[0]


def test_vendors_in_their_order_then_priority() -> None:
    for order in itertools.permutations(ALL):
        chosen = select_runtime(by(["acme", "zeta"]), order, host("acme", "zeta"), "cluster")
        assert chosen.runtime is ACME_FAST
        assert said(chosen) == (
            "runtime vllm-acme-fast: vendor acme is number 1 in spec.runtime.selector.vendor",
            "not vllm-acme: priority 0 is below 10",
        )
        assert select_runtime(by(["zeta", "acme"]), order, host("acme", "zeta"), "cluster").runtime is ZETA


def test_a_vendor_without_plugin_or_runtime_is_passed_over_and_named() -> None:
    chosen = select_runtime(by(["nvidia", "empty", "acme"]), ALL, host("acme", "empty"), "cluster")
    assert chosen.runtime is ACME_FAST
    assert said(chosen)[1:3] == (
        "not vendor nvidia: no installed distribution provides the vendor 'nvidia'",
        "not vendor empty: it has no InferenceRuntime",
    )


def test_without_any_wish_the_highest_priority_of_all() -> None:
    assert select_runtime(by(), ALL, host("acme", "zeta"), "cluster").runtime is ZETA
    chosen = select_runtime(by(), ALL, host("acme"), "cluster")
    assert chosen.runtime is ACME_FAST
    assert said(chosen)[-1] == "not vllm-zeta: no installed distribution provides the vendor 'zeta'"


@pytest.mark.parametrize("made", [by(), by(["acme"])])
def test_a_tie_is_an_error_that_names_the_tied(made: Any) -> None:
    error = refusal(made, runtime(name="vllm-b"), runtime(name="vllm-a"))
    assert error.reason == "AmbiguousRuntime"
    assert "vllm-a, vllm-b share the highest priority 0" in error.message
    assert "spec.runtime.name (such as vllm-a)" in error.remedy


def test_a_tie_between_vendors_asks_for_the_vendor() -> None:
    error = refusal(by(), ACME, runtime(vendor="zeta"))
    assert "vllm-acme, vllm-zeta share the highest priority 0" in error.message
    assert error.remedy.startswith("name the vendor in spec.runtime.selector.vendor (such as [acme]), pin one with")


def test_an_unknown_name() -> None:
    error = refusal(by(name="vllm-acmee"), *ALL)
    assert error.reason == "RuntimeNotFound"
    assert str(error) == (
        "spec.runtime.name: there is no InferenceRuntime 'vllm-acmee'; did you mean 'vllm-acme'? "
        "known: vllm-acme, vllm-acme-fast, vllm-zeta"
    )


def test_a_named_runtime_without_its_plugin() -> None:
    error = refusal(by(name="vllm-zeta"), *ALL, vendors=("acme",))
    assert error.reason == "UnsupportedVendor"
    assert error.remedy == "pip install hearth-zeta (usable vendors: acme)"


def test_a_misspelt_vendor_is_not_a_package_to_install() -> None:
    error = refusal(by(["acmee"]), *ALL)
    assert error.remedy == "did you mean 'acme'? (installed and usable: acme, zeta)"


def test_selected_vendors_that_are_not_installed() -> None:
    error = refusal(by(["nvidia", "ascend"]), *ALL)
    assert error.reason == "NoRuntime"
    assert error.message == (
        "spec.runtime.selector.vendor: no runtime of nvidia, ascend can be used: "
        "vendor nvidia: no installed distribution provides the vendor 'nvidia'; "
        "vendor ascend: no installed distribution provides the vendor 'ascend'"
    )
    assert error.remedy == (
        "pip install hearth-nvidia or hearth-ascend, or select another vendor (installed and usable: acme, zeta)"
    )


def test_a_broken_plugin_is_named() -> None:
    def broken() -> object:
        raise ImportError("libacme.so")

    one = VendorHost.load(candidates=[Candidate("acme", "hearth-acme", "1", broken)], environ={})
    with pytest.raises(PlanningError) as caught:
        select_runtime(by(["acme"]), ALL, one, "cluster")
    assert caught.value.reason == "UnsupportedVendor"
    assert "(hearth-acme 1) is not usable: its import failed with ImportError: libacme.so" in caught.value.message
    assert caught.value.remedy.startswith("see `hearth plugins`")


def test_no_runtime_at_all() -> None:
    error = refusal(by())
    assert error.reason == "NoRuntime"
    assert "there is none" in error.message


def test_local_passes_over_what_cannot_run_on_one_machine() -> None:
    one = VendorHost.of({"acme": plugin("acme", capabilities=("local",)), "zeta": plugin("zeta", capabilities=())})
    chosen = select_runtime(by(), ALL, one, "local")
    assert chosen.runtime is ACME_FAST
    assert "not vllm-zeta: the plugin for vendor 'zeta' does not support local mode" in said(chosen)
    with pytest.raises(PlanningError, match="does not support local mode") as caught:
        select_runtime(by(name="vllm-zeta"), ALL, one, "local")
    assert caught.value.reason == "RuntimeNotLocal"


def test_the_generic_adapter_needs_no_plugin_but_a_local_command() -> None:
    plain = runtime({"adapter": "generic"}, vendor="cpu")
    local = runtime({"adapter": "generic", "local": {"command": ["vllm"]}}, vendor="cpu")
    nothing = VendorHost.of({})
    assert select_runtime(by(["cpu"]), [plain], nothing, "cluster").runtime is plain
    assert select_runtime(by(["cpu"]), [local], nothing, "local").runtime is local
    with pytest.raises(PlanningError, match=r"it has no spec\.local"):
        select_runtime(by(["cpu"]), [plain], nothing, "local")


def test_own_runtimes_replace_packaged_ones() -> None:
    packaged = VendorHost.load(environ={"HEARTH_PLUGINS": "fake"})
    [shipped] = available_runtimes([], packaged)
    own = runtime(vendor="fake", name="vllm-fake")
    assert available_runtimes([ACME, own], packaged) == (ACME, own)
    assert available_runtimes([ACME], packaged, invalid=[own.metadata.name]) == (ACME,)
    assert shipped.metadata.name == "vllm-fake"


@pytest.mark.parametrize("made", [by(["acme"]), by(), by(name="mine")], ids=["by vendor", "by priority", "by name"])
def test_a_runtime_that_cannot_be_read_is_no_runtime_and_is_named(made: Any) -> None:
    invalid = {"mine": HearthError("spec.priority: 'x' is no number", "write a number")}
    with pytest.raises(PlanningError) as caught:
        select_runtime(made, [], host("acme"), "cluster", invalid)
    assert "InferenceRuntime 'mine' is not valid: spec.priority: 'x' is no number" in str(caught.value)
