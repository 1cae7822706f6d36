"""Calling: one vendor's hooks, checked results, and errors that say whose they are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hearth.api import EnvVar, Probe
from hearth.plugins import (
    AcceleratorRequest,
    Device,
    HostMount,
    InventoryOutput,
    InventorySource,
    LocalLaunch,
    MetricsEndpoint,
    PluginError,
    PluginRejects,
    PodAdaptation,
    ProbeSet,
    RenderContext,
    ResolvedModel,
    VendorHost,
    VendorUnavailable,
)
from hearth.plugins.host import VendorHost as Host
from tests.plugins.support import context
from tests.support import vendors
from tests.support.vendors import candidate, plugin


def host(**hooks: Any) -> VendorHost:
    return vendors.host(capabilities=(), **hooks)


def test_a_hook_that_is_absent_or_returns_none_leaves_the_choice_to_the_host() -> None:
    for one in (host(), host(hearth_accelerator=lambda: None, hearth_env=lambda: None, hearth_pod=lambda: None)):
        assert one.accelerator(context()) is None
        assert one.env(context()) == ()
        assert one.probes(context()) is None
        assert one.metrics(context()) is None
        assert one.pod(context()) is None
        assert one.local_command(context(), ["0"]) is None
        assert one.local_inventory("acme") is None
        assert one.local_devices("acme", InventoryOutput()) == ()


def test_results_arrive_typed() -> None:
    one = host(
        hearth_accelerator=lambda ctx: AcceleratorRequest(resources={"acme.dev/chip": 2}),
        hearth_env=lambda ctx: [EnvVar(name="A", value="1")],
        hearth_probes=lambda ctx: ProbeSet(startup=Probe(period_seconds=5)),
        hearth_metrics=lambda ctx: MetricsEndpoint(path="/stats"),
        hearth_pod=lambda ctx: PodAdaptation(host_mounts=(HostMount(host_path="/opt/acme"),)),
        hearth_local_command=lambda ctx, devices: LocalLaunch(argv=["run", *devices]),
        hearth_local_inventory=lambda: InventorySource(command=["acme-smi"]),
        hearth_local_devices=lambda output: [Device(id="0", name=output.stdout)],
    )
    assert one.accelerator(context()) == AcceleratorRequest(resources={"acme.dev/chip": 2})
    assert one.env(context()) == (EnvVar(name="A", value="1"),)
    assert one.probes(context()) == ProbeSet(startup=Probe(period_seconds=5))
    assert one.metrics(context()) == MetricsEndpoint(path="/stats")
    assert one.pod(context()) == PodAdaptation(host_mounts=(HostMount(host_path="/opt/acme"),))
    assert one.local_command(context(), ["3", "4"]) == LocalLaunch(argv=("run", "3", "4"))
    assert one.local_inventory("acme") == InventorySource(command=("acme-smi",))
    assert one.local_devices("acme", InventoryOutput(stdout="chip")) == (Device(id="0", name="chip"),)


def test_only_the_vendor_of_the_context_is_called() -> None:
    def never(ctx: RenderContext) -> None:
        raise AssertionError("another vendor's hook was called")

    one = VendorHost.of(
        {
            "acme": plugin("acme", hearth_env=lambda ctx: [EnvVar(name="A", value="acme")]),
            "other": plugin("other", hearth_env=never, hearth_pod=never),
        }
    )
    assert one.env(context("acme")) == (EnvVar(name="A", value="acme"),)
    assert one.pod(context("acme")) is None
    with pytest.raises(PluginError):
        one.env(context("other"))


def test_an_exception_says_whose_it_is() -> None:
    def broken(ctx: RenderContext) -> None:
        raise KeyError("driver")

    one = VendorHost.load(candidates=[candidate("acme", plugin("acme", hearth_env=broken))], environ={})
    with pytest.raises(PluginError) as caught:
        one.env(context())
    error = caught.value
    assert (error.vendor, error.distribution, error.version, error.hook) == (
        "acme",
        "hearth-acme",
        "1.2.3",
        "hearth_env",
    )
    assert isinstance(error.__cause__, KeyError)
    assert str(error) == (
        "the plugin for vendor 'acme' (hearth-acme 1.2.3) failed in hearth_env: KeyError: 'driver'; "
        "upgrade hearth-acme or report this to its authors; HEARTH_DISABLED_PLUGINS=acme turns it off"
    )


def test_a_rejection_is_passed_on() -> None:
    def rejects(ctx: RenderContext) -> None:
        raise PluginRejects("TooFew", "needs two chips")

    with pytest.raises(PluginRejects, match="needs two chips") as caught:
        host(hearth_accelerator=rejects).accelerator(context())
    assert caught.value.reason == "TooFew"


@pytest.mark.parametrize(
    ("hook", "result", "problem"),
    [
        ("accelerator", {"acme.dev/chip": 1}, "resources: "),
        ("accelerator", AcceleratorRequest(resources={"acme.dev/chip": 0}), "acme.dev/chip: "),
        ("accelerator", AcceleratorRequest(resources={"acme.dev/chip": "many"}), "acme.dev/chip: "),  # type: ignore[dict-item]
        ("env", EnvVar(name="A", value="1"), "0: "),
        ("env", [("A", "1")], "0: "),
        ("probes", "never", "ProbeSet"),
        ("metrics", MetricsEndpoint(path="stats"), "path: "),
        ("pod", PodAdaptation(annotations={"a": 1}), "annotations.a: "),  # type: ignore[dict-item]
        ("pod", PodAdaptation(volumes=({"name": object()},)), "volumes.0"),  # type: ignore[dict-item]
    ],
)
def test_a_result_that_is_not_valid_is_the_plugins_fault(hook: str, result: object, problem: str) -> None:
    one = host(**{f"hearth_{hook}": lambda ctx: result})
    with pytest.raises(PluginError, match=f"hearth_{hook}: its result is not valid") as caught:
        getattr(one, hook)(context())
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("launch", "problem"),
    [
        (LocalLaunch(argv=()), "empty argv"),
        (LocalLaunch(argv="run"), "argv: "),  # type: ignore[arg-type]
        (LocalLaunch(argv=("run",), env={"A": 1}), "env.A: "),  # type: ignore[dict-item]
    ],
)
def test_a_local_command_is_checked(launch: LocalLaunch, problem: str) -> None:
    with pytest.raises(PluginError, match=problem):
        host(hearth_local_command=lambda ctx, devices: launch).local_command(context(), ["0"])


def test_device_ids_are_unique() -> None:
    twice = [Device(id="0", name="a"), Device(id="0", name="b")]
    with pytest.raises(PluginError, match="a device id twice: 0, 0"):
        host(hearth_local_devices=lambda output: twice).local_devices("acme", InventoryOutput())


def test_hooks_get_copies() -> None:
    seen: list[RenderContext] = []

    def keeps(ctx: RenderContext) -> None:
        seen.append(ctx)
        ctx.service.metadata.labels["changed"] = "yes"

    ctx = context()
    host(hearth_env=keeps).env(ctx)
    assert seen[0] is not ctx
    assert ctx.service.metadata.labels == {}


def test_a_vendor_that_is_not_installed() -> None:
    with pytest.raises(VendorUnavailable) as caught:
        host().env(context("nvidia"))
    assert str(caught.value) == (
        "no installed distribution provides the vendor 'nvidia'; pip install hearth-nvidia (usable vendors: acme)"
    )


def test_a_vendor_whose_plugin_is_broken() -> None:
    one = VendorHost.load(candidates=[candidate("acme", object())], environ={})
    with pytest.raises(VendorUnavailable) as caught:
        one.env(context())
    assert "the plugin for vendor 'acme' (hearth-acme 1.2.3) is not usable: its entry point is" in caught.value.message
    assert caught.value.remedy == "see `hearth plugins` (no vendor plugin is usable)"


def test_the_trace_shows_calls_and_results(capsys: pytest.CaptureFixture[str]) -> None:
    made = plugin("acme", hearth_env=lambda ctx: [EnvVar(name="A", value="1")])
    one = VendorHost.load(candidates=[candidate("acme", made)], environ={"HEARTH_TRACE_PLUGINS": "1"})
    one.env(context())
    trace = capsys.readouterr().err
    assert "plugins: hearth_env -> acme" in trace
    assert "plugins: hearth_env returned [EnvVar(name='A'" in trace


def test_the_trace_shows_exceptions() -> None:
    def broken(ctx: RenderContext) -> None:
        raise KeyError("driver")

    stream = io.StringIO()
    loaded = Host.of({"acme": plugin("acme", hearth_env=broken)})
    one = Host(loaded._loaded.values(), trace=stream)
    with pytest.raises(PluginError):
        one.env(context())
    assert "plugins: hearth_env raised KeyError('driver')" in stream.getvalue()


def test_a_hook_may_be_a_generator() -> None:
    def yields(ctx: RenderContext) -> Iterator[EnvVar]:
        yield EnvVar(name="A", value="1")
        if ctx.model.scheme == "pvc":
            raise PluginRejects("NoVolumes", "weights must be downloaded")
        if ctx.model.scheme == "file":
            raise KeyError("driver")

    one = host(hearth_env=yields)
    assert one.env(context()) == (EnvVar(name="A", value="1"),)
    with pytest.raises(PluginRejects, match="weights must be downloaded"):
        one.env(replace(context(), model=ResolvedModel("pvc://w", "pvc", "/models", "w")))
    with pytest.raises(PluginError, match="KeyError: 'driver'"):
        one.env(replace(context(), model=ResolvedModel("file:///m", "file", "/m")))
