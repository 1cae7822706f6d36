"""A faulty plugin is listed with its distribution and the reason, blocks its own vendor only, and its services say why."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from hearth.api import EnvVar, HearthError, InferenceRuntime
from hearth.planning import Plan, make_plan
from hearth.plugins import Candidate, PluginError, PluginRejects, RenderContext, VendorHost, VendorInfo
from tests.plugins.support import context
from tests.support.manifests import service_model
from tests.support.vendors import candidate, plugin

RELEASE = threading.Event()
CONDITION_REASON = r"[A-Z][A-Za-z0-9]*"


@pytest.fixture(autouse=True, scope="module")
def _release() -> Iterator[None]:
    """Let what hangs end with the module."""
    yield
    RELEASE.set()


def hang(*_: object) -> Any:
    RELEASE.wait()


def leave() -> Any:
    raise SystemExit("no licence")


def fail() -> Any:
    raise ImportError("libacme.so: cannot open")


def refuse(reason: str, message: str) -> Any:
    raise PluginRejects(reason, message)


def endless() -> Iterator[object]:
    yield EnvVar(name="A", value="1")
    RELEASE.wait()


GOOD = candidate("good", plugin("good", hearth_env=lambda ctx: [EnvVar(name="GOOD", value="1")]))

AT_LOAD: dict[str, tuple[Callable[[], object], str]] = {
    "raises on import": (fail, "its import failed with ImportError: libacme.so: cannot open"),
    "exits on import": (leave, "its import failed with SystemExit: no licence"),
    "hangs on import": (hang, "its import did not finish within 0.1 s"),
    "hangs when asked who it is": (
        lambda: plugin("acme", hearth_vendor=lambda: hang()),
        "hearth_vendor did not return within 0.1 s",
    ),
    "exits when asked who it is": (
        lambda: plugin("acme", hearth_vendor=leave),
        "hearth_vendor raised SystemExit: no licence",
    ),
    "is garbage": (lambda: 42, "its entry point is 42"),
    "says garbage of itself": (
        lambda: plugin("acme", hearth_vendor=lambda: {"name": "acme"}),
        "hearth_vendor returned {'name': 'acme'}, not a VendorInfo",
    ),
    "lists its runtimes for ever": (
        lambda: plugin("acme", hearth_runtimes=lambda: hang()),
        "hearth_runtimes",
    ),
    "lists garbage as its runtimes": (
        lambda: plugin("acme", hearth_runtimes=lambda: 42),
        "it returned 42, not RuntimeManifests",
    ),
}

AT_WORK: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (lambda ctx: ctx.nothing, "AttributeError: 'RenderContext' object has no attribute 'nothing'"),
    "exits": (lambda ctx: leave(), "SystemExit: no licence"),
    "hangs": (hang, "it did not return within 0.1 s"),
    "hangs half-way": (lambda ctx: endless(), "it did not return within 0.1 s"),
    "returns garbage": (lambda ctx: {"A": "1"}, "its result is not valid"),
    "returns garbage within": (lambda ctx: [EnvVar(name="A", value="1"), "B=2"], "its result is not valid: 1"),
    "refuses without a reason": (
        lambda ctx: refuse("too few", "needs two chips"),
        "ValueError: PluginRejects.reason: 'too few' is not a CamelCase word",
    ),
    "refuses without a message": (lambda ctx: refuse("TooFew", " "), "PluginRejects.message: ' ' is not a sentence"),
    "returns a class": (lambda ctx: EnvVar, "its result is not valid"),
}


def runtimes() -> Sequence[InferenceRuntime]:
    return [context(vendor).runtime for vendor in ("acme", "good")]


def load(*candidates: Candidate) -> VendorHost:
    return VendorHost.load(candidates=candidates, environ={}, import_timeout=0.1, hook_timeout=0.1)


def plan(host: VendorHost, vendor: str) -> Plan:
    return make_plan(
        service_model(runtime={"name": f"vllm-{vendor}"}), runtimes=runtimes(), host=host, target="cluster"
    )


def refusal(host: VendorHost) -> HearthError:
    """Return the error of the service that needs the faulty plugin, fit for a condition."""
    with pytest.raises(HearthError) as caught:
        plan(host, "acme")
    error = caught.value
    assert re.fullmatch(CONDITION_REASON, getattr(error, "reason", ""))
    assert error.message
    assert error.remedy
    return error


@pytest.mark.parametrize("fault", AT_LOAD)
def test_a_plugin_that_cannot_be_loaded(fault: str) -> None:
    make, reason = AT_LOAD[fault]
    host = load(Candidate("acme", "hearth-acme", "1.2.3", make), GOOD)
    host.runtimes()
    acme, good = host.vendors
    assert (acme.name, acme.distribution, acme.version, acme.state) == ("acme", "hearth-acme", "1.2.3", "error")
    assert reason in acme.error
    assert (good.state, good.error) == ("ready", "")
    assert plan(host, "good").pod == plan(load(GOOD), "good").pod
    error = refusal(host)
    assert "acme" in error.message


@pytest.mark.parametrize("fault", AT_WORK)
def test_a_plugin_that_fails_at_work(fault: str) -> None:
    hook, reason = AT_WORK[fault]
    host = load(candidate("acme", plugin("acme", hearth_env=hook)), GOOD)
    error = refusal(host)
    assert isinstance(error, PluginError)
    assert (error.reason, error.vendor, error.distribution) == ("PluginFailed", "acme", "hearth-acme")
    assert reason in error.message
    assert "hearth_env" in error.message
    assert plan(host, "good").pod == plan(load(GOOD), "good").pod


def test_a_plugin_that_refuses_properly() -> None:
    host = load(candidate("acme", plugin("acme", hearth_env=lambda ctx: refuse("TooFew", "needs two chips"))), GOOD)
    error = refusal(host)
    assert getattr(error, "reason", "") == "TooFew"
    assert error.message == "vendor 'acme': needs two chips"
    assert [status.state for status in host.vendors] == ["ready", "ready"]


def test_a_plugin_that_hung_is_listed_and_is_not_called_again() -> None:
    host = load(candidate("acme", plugin("acme", hearth_env=hang)), GOOD)
    refusal(host)
    acme, good = host.vendors
    assert (acme.distribution, acme.state, acme.error) == (
        "hearth-acme",
        "error",
        "hearth_env did not return within 0.1 s",
    )
    assert good.state == "ready"
    assert getattr(refusal(host), "reason", "") == "UnsupportedVendor"
    with pytest.raises(PluginError, match="it is no longer called, because hearth_env did not return"):
        host.env(context("acme"))
    assert plan(host, "good")


def test_a_plugin_that_changes_its_arguments_changes_copies() -> None:
    def spoils(ctx: RenderContext) -> None:
        ctx.service.metadata.labels["spoiled"] = "yes"
        ctx.runtime.spec.accelerator.node_selector["spoiled"] = "yes"
        object.__setattr__(ctx.model, "path", "spoiled/path")
        object.__setattr__(ctx.service.spec.resources, "accelerators", 8)

    hooks = dict.fromkeys(("hearth_env", "hearth_probes", "hearth_accelerator", "hearth_pod"), spoils)
    host = load(candidate("acme", plugin("acme", **hooks)), GOOD)
    assert plan(host, "acme") == plan(load(candidate("acme", plugin("acme"))), "acme")


def test_a_plugin_that_is_installed_twice() -> None:
    twice = [candidate("acme", plugin("acme"), distribution=name) for name in ("hearth-acme", "acme-hearth")]
    host = load(*twice, GOOD)
    assert [(status.distribution, status.state) for status in host.vendors] == [
        ("acme-hearth", "error"),
        ("hearth-acme", "error"),
        ("hearth-good", "ready"),
    ]
    error = refusal(host)
    assert getattr(error, "reason", "") == "UnsupportedVendor"
    assert "acme-hearth 1.2.3 and hearth-acme 1.2.3 both provide the vendor 'acme'" in error.message
    assert plan(host, "good")


def test_a_plugin_that_fails_when_imported_is_not_the_end_of_the_thread() -> None:
    """One thread serves all calls; what one call raises must not stop the next."""
    host = load(Candidate("acme", "hearth-acme", "1", leave), candidate("good", plugin("good")))
    assert [status.state for status in host.vendors] == ["error", "ready"]
    assert host.info(context("good").runtime) == VendorInfo("good", title="Good")
