"""Loading: every fault of a plugin is named, and blocks that plugin only."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest

from hearth.plugins import Candidate, VendorHost, VendorStatus, hookimpl
from hearth.plugins.loader import installed_candidates
from tests.support.vendors import Plugin, candidate, plugin


def load(*candidates: Candidate, **environ: str) -> dict[str, VendorStatus]:
    return {status.name: status for status in VendorHost.load(candidates=candidates, environ=environ).vendors}


def raising(error: BaseException) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


GOOD = candidate("good", plugin("good"))


def test_a_good_plugin_is_ready() -> None:
    assert load(GOOD) == {
        "good": VendorStatus("good", title="Good", distribution="hearth-good", version="1.2.3", state="ready")
    }


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ImportError("libacme.so: cannot open"), "its import failed with ImportError: libacme.so: cannot open"),
        (SystemExit("no licence"), "its import failed with SystemExit: no licence"),
    ],
)
def test_a_failing_import_blocks_only_its_vendor(error: BaseException, text: str) -> None:
    found = load(Candidate("bad", "hearth-bad", "0.9", raising(error)), GOOD)
    assert found["bad"].state == "error"
    assert found["bad"].error == text
    assert (found["bad"].distribution, found["bad"].version) == ("hearth-bad", "0.9")
    assert found["good"].state == "ready"


def test_a_hanging_import_does_not_hang_the_host() -> None:
    release = threading.Event()
    hanging = Candidate("slow", "hearth-slow", "1", release.wait)
    try:
        host = VendorHost.load(candidates=[hanging, GOOD], environ={}, import_timeout=0.05)
        found = {status.name: status for status in host.vendors}
        assert found["slow"].error == "its import did not finish within 0.05 s"
        assert found["good"].state == "ready"
    finally:
        release.set()


def unmarked() -> object:
    made = plugin("bad")
    vars(made)["hearth_env"] = lambda ctx: []
    return made


def with_hook(name: str, function: Callable[..., object]) -> object:
    made = plugin("bad")
    setattr(made, name, hookimpl(function))
    return made


def as_class() -> object:
    return Plugin


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Plugin(), "it has no hearth_vendor hook"),
        (as_class(), "point it at a module or at an object that has the hooks"),
        (SimpleNamespace(), "is not hashable"),
        (42, "its entry point is 42"),
        (unmarked(), "hearth_env has no @hookimpl, so it would never be called"),
        (with_hook("hearth_envs", lambda ctx: []), "unknown hook 'hearth_envs'"),
        (with_hook("hearth_env", lambda context: []), "Argument(s) {'context'} are declared"),
        (with_hook("hearth_vendor", lambda: None), "hearth_vendor returned None, not a VendorInfo"),
        (with_hook("hearth_vendor", lambda: 1 / 0), "hearth_vendor raised ZeroDivisionError: division by zero"),
        (plugin("other"), "hearth_vendor says 'other' but its entry point is named 'bad'"),
        (plugin("bad", info={"api": 2}), "written for plugin API 2 and this Hearth speaks 1; upgrade hearth"),
        (plugin("bad", info={"api": 0}), "written for plugin API 0 and this Hearth speaks 1; upgrade hearth-bad"),
        (plugin("bad", info={"title": " "}), "VendorInfo.title: ' ' is not a text"),
        (plugin("bad", info={"name": "BAD"}), "VendorInfo.name: 'BAD' is not a DNS label"),
        (plugin("bad", info={"api": "1"}), "VendorInfo.api: '1' is not an integer"),
        (plugin("bad", info={"capabilities": "local"}), "VendorInfo.capabilities: 'local' is not a sequence"),
        (plugin("bad", info={"capabilities": ("Local",)}), "'Local' is not a lower-case word"),
        (
            plugin("bad", info={"capabilities": ("local",)}, hearth_local_inventory=lambda: None),
            "it claims the capability 'local' but lacks hearth_local_command, hearth_local_devices",
        ),
    ],
)
def test_a_plugin_that_breaks_the_contract_is_refused(made: object, text: str) -> None:
    found = load(candidate("bad", made), GOOD)
    assert found["bad"].state == "error"
    assert text in found["bad"].error
    assert found["good"].state == "ready"


def test_reserved_and_invalid_names_are_refused() -> None:
    found = load(candidate("generic", plugin("generic")), candidate("Bad_Name", plugin("bad")))
    assert found["generic"].error == "the vendor key 'generic' belongs to Hearth's built-in adapter"
    assert "'Bad_Name' is not a DNS label" in found["Bad_Name"].error


def test_two_distributions_of_one_vendor_are_both_refused_and_named() -> None:
    twice = [
        candidate("acme", plugin("acme"), distribution="acme-hearth", version="2"),
        candidate("acme", plugin("acme"), distribution="hearth-acme", version="1"),
    ]
    for order in itertools.permutations([*twice, GOOD]):
        host = VendorHost.load(candidates=order, environ={})
        acme = [status for status in host.vendors if status.name == "acme"]
        assert [status.distribution for status in acme] == ["acme-hearth", "hearth-acme"]
        for status in acme:
            assert status.error == (
                "acme-hearth 2 and hearth-acme 1 both provide the vendor 'acme'; uninstall one of them"
            )
        assert host.problem("good") is None


def test_the_order_of_candidates_makes_no_difference() -> None:
    several = [candidate(name, plugin(name)) for name in ("alpha", "beta", "gamma")] + [
        Candidate("bad", "hearth-bad", "1", raising(ImportError("x")))
    ]
    results = {VendorHost.load(candidates=order, environ={}).vendors for order in itertools.permutations(several)}
    assert len(results) == 1


def test_allow_list() -> None:
    other = Candidate("other", "hearth-other", "1", raising(AssertionError("must not be imported")))
    found = load(GOOD, other, HEARTH_PLUGINS="good, missing")
    assert found["good"].state == "ready"
    assert (found["other"].state, found["other"].error) == ("disabled", "not in HEARTH_PLUGINS")
    assert found["missing"].state == "error"
    assert "no installed distribution provides the vendor 'missing'" in found["missing"].error


def test_an_empty_allow_list_allows_none() -> None:
    assert load(GOOD, HEARTH_PLUGINS="")["good"].state == "disabled"


def test_block_list_wins() -> None:
    found = load(GOOD, HEARTH_PLUGINS="good", HEARTH_DISABLED_PLUGINS="good")
    assert (found["good"].state, found["good"].error) == ("disabled", "turned off by HEARTH_DISABLED_PLUGINS")


def test_a_module_is_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("acme_plugin")
    module.hearth_vendor = plugin("acme").hearth_vendor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme_plugin", module)
    assert load(candidate("acme", module))["acme"].state == "ready"


def test_the_installed_fake_vendor_is_found() -> None:
    assert ("fake", "hearth-fake") in [(found.name, found.distribution) for found in installed_candidates()]
