"""Plugin host: the installed vendors, and typed calls of one vendor's hooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import pluggy

from hearth.plugins import generic, hookspecs
from hearth.plugins.loader import (
    IMPORT_TIMEOUT,
    Candidate,
    LoadedVendor,
    VendorStatus,
    installed_candidates,
    load_vendors,
    not_installed,
)
from hearth.plugins.packaged import (
    RUNTIMES_HOOK,
    NotPackaged,
    PackagedRuntime,
    read_packaged,
    runtime_manifests,
    shared_names,
)
from hearth.plugins.timeouts import CALLER, HookTimeout
from hearth.plugins.vendor import (
    Device,
    InventoryOutput,
    InventorySource,
    LocalLaunch,
    PluginRejects,
    RuntimeManifest,
    VendorInfo,
)

if TYPE_CHECKING:
    from hearth.api import EnvVar, InferenceRuntime
    from hearth.plugins.types import (
        AcceleratorRequest,
        MetricsEndpoint,
        PodAdaptation,
        ProbeSet,
        RenderContext,
    )

HOOK_TIMEOUT = 10.0
"""Seconds that one call of a hook may take. A hook is pure and needs microseconds; this is for one that hangs."""

T = TypeVar("T")


class VendorHost:
    """Host of the loaded vendors. Make one with `VendorHost.load()`, or with `VendorHost.of(...)` from plugin objects.

    Every call method takes the vendor from its context, calls that vendor's hook alone, and returns None when the
    vendor does not implement it or leaves the choice to the host. They raise `VendorUnavailable` when no usable
    plugin serves the vendor, `PluginRejects` when the vendor refuses the request, `PluginError` for everything else.
    """

    def __init__(
        self,
        loaded: Iterable[LoadedVendor],
        unusable: Iterable[VendorStatus] = (),
        *,
        trace: TextIO | None = None,
        hook_timeout: float = HOOK_TIMEOUT,
    ) -> None:
        self._loaded = {vendor.info.name: vendor for vendor in loaded}
        self._unusable = tuple(unusable)
        self._packaged: dict[str, tuple[PackagedRuntime, ...]] | None = None
        self._broken: dict[str, str] = {}
        self._hanging: dict[str, str] = {}
        self._hooks: dict[str, Mapping[str, frozenset[str]]] = {}
        self._hook_timeout = hook_timeout
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._manager.register(generic, name=generic.NAME)
        for name, vendor in sorted(self._loaded.items()):
            self._manager.register(vendor.plugin, name=name)
        if trace is not None:
            _trace(self._manager, trace)

    @classmethod
    def load(
        cls,
        *,
        candidates: Iterable[Candidate] | None = None,
        environ: Mapping[str, str] | None = None,
        import_timeout: float = IMPORT_TIMEOUT,
        hook_timeout: float = HOOK_TIMEOUT,
    ) -> VendorHost:
        """Load the installed plugins. Never raises for a broken one: `vendors` says what is wrong with it.

        `environ` (the process's by default) may hold `HEARTH_PLUGINS`, `HEARTH_DISABLED_PLUGINS` and
        `HEARTH_TRACE_PLUGINS` (any value: every hook call and its result are printed to stderr).
        """
        environ = os.environ if environ is None else environ
        found = installed_candidates() if candidates is None else candidates
        loaded, unusable = load_vendors(found, environ, import_timeout=import_timeout)
        trace = sys.stderr if environ.get("HEARTH_TRACE_PLUGINS") else None
        return cls(loaded, unusable, trace=trace, hook_timeout=hook_timeout)

    @classmethod
    def of(cls, plugins: Mapping[str, object], *, import_timeout: float = IMPORT_TIMEOUT) -> VendorHost:
        """Load plugin objects by vendor key, with the same checks as installed ones. For tests and tools."""
        candidates = [
            Candidate(name, distribution=f"in-process-{name}", version="0", load=_constant(plugin))
            for name, plugin in plugins.items()
        ]
        return cls.load(candidates=candidates, environ={}, import_timeout=import_timeout)

    @property
    def vendors(self) -> tuple[VendorStatus, ...]:
        """The status of every vendor found, by key and distribution; the built-in adapter is not among them."""
        statuses = [self._status(vendor) for vendor in self._loaded.values()]
        return tuple(sorted((*statuses, *self._unusable), key=lambda status: (status.name, status.distribution)))

    def _status(self, vendor: LoadedVendor) -> VendorStatus:
        status = VendorStatus(
            vendor.info.name,
            title=vendor.info.title,
            distribution=vendor.distribution,
            version=vendor.version,
            capabilities=vendor.info.capabilities,
        )
        if vendor.info.name in self._hanging:
            return replace(status, state="error", error=self._hanging[vendor.info.name])
        try:
            names = tuple(sorted(manifest.name for manifest in self._manifests(vendor.info.name)))
        except Exception as exc:  # noqa: BLE001 - the status is where a broken plugin is reported
            return replace(status, state="error", error=str(exc))
        broken = self._broken.get(vendor.info.name)
        return replace(status, runtimes=names, state="error" if broken else "ready", error=broken or "")

    def adapter(self, runtime: InferenceRuntime) -> str:
        """Return the key of the plugin that adapts a runtime: its vendor, or the built-in `generic`."""
        return generic.NAME if runtime.spec.adapter == generic.NAME else runtime.spec.vendor

    def info(self, runtime: InferenceRuntime) -> VendorInfo:
        """Return the vendor that adapts a runtime; for the generic adapter, the runtime's vendor with that adapter's title."""
        adapter = self.adapter(runtime)
        if adapter == generic.NAME:
            return replace(generic.hearth_vendor(), name=runtime.spec.vendor)
        return self._vendor(adapter).info

    def problem(self, vendor: str) -> str | None:
        """Return why a vendor cannot be used, or None when it can."""
        if vendor in self._broken:
            return self._broken[vendor]
        if vendor in self._loaded:
            return None
        for status in self._unusable:
            if status.name == vendor:
                who = f" ({status.distribution} {status.version})" if status.distribution else ""
                return f"the plugin for vendor {vendor!r}{who} is not usable: {status.error}"
        return not_installed(vendor)

    def require(self, vendor: str) -> None:
        """Raise `VendorUnavailable` with what is installed and what to install, unless the vendor can be used."""
        problem = self.problem(vendor)
        if problem is None:
            return
        from hearth.plugins.errors import VendorUnavailable

        usable = sorted(set(self._loaded) - set(self._broken))
        installed = f"usable vendors: {', '.join(usable)}" if usable else "no vendor plugin is usable"
        absent = vendor not in self._loaded and all(status.name != vendor for status in self._unusable)
        remedy = f"pip install hearth-{vendor} ({installed})" if absent else f"see `hearth plugins` ({installed})"
        raise VendorUnavailable(vendor, problem, remedy)

    def runtimes(self) -> tuple[PackagedRuntime, ...]:
        """Return the runtimes that usable plugins ship, by vendor and name.

        A plugin whose runtimes cannot be read, belong to another vendor or have the name of another plugin's runtime
        is broken from then on: `vendors` and `problem()` say so.
        """
        if self._packaged is None:
            self._packaged = self._read_runtimes()
        return tuple(runtime for name in sorted(self._packaged) for runtime in self._packaged[name])

    def _read_runtimes(self) -> dict[str, tuple[PackagedRuntime, ...]]:
        from hearth.api import HearthError

        found: dict[str, tuple[PackagedRuntime, ...]] = {}
        for name in sorted(self._loaded):
            try:
                found[name] = tuple(self._packaged_runtime(name, manifest) for manifest in self._manifests(name))
            except HearthError as exc:
                self._broken[name] = str(exc)
        self._broken.update(shared_names(found))
        return {name: runtimes for name, runtimes in found.items() if name not in self._broken}

    def _manifests(self, vendor: str) -> tuple[RuntimeManifest, ...]:
        try:
            return runtime_manifests(self._call(vendor, RUNTIMES_HOOK))
        except PluginRejects as exc:
            raise self._failure(vendor, RUNTIMES_HOOK, f"{exc.reason}: {exc.message}") from exc
        except NotPackaged as exc:
            raise self._failure(vendor, RUNTIMES_HOOK, str(exc)) from exc

    def _packaged_runtime(self, vendor: str, manifest: RuntimeManifest) -> PackagedRuntime:
        loaded = self._loaded[vendor]
        try:
            return read_packaged(manifest, vendor=vendor, source=f"{loaded.distribution} {loaded.version}")
        except NotPackaged as exc:
            raise self._failure(vendor, RUNTIMES_HOOK, str(exc)) from exc

    def accelerator(self, ctx: RenderContext) -> AcceleratorRequest | None:
        """Call `hearth_accelerator`."""
        from hearth.plugins.types import AcceleratorRequest

        return self._checked("hearth_accelerator", AcceleratorRequest, ctx)

    def env(self, ctx: RenderContext) -> tuple[EnvVar, ...]:
        """Call `hearth_env`; no variables when it is absent or returns None."""
        from hearth.plugins.types import Env

        return self._checked("hearth_env", Env, ctx) or ()

    def probes(self, ctx: RenderContext) -> ProbeSet | None:
        """Call `hearth_probes`."""
        from hearth.plugins.types import ProbeSet

        return self._checked("hearth_probes", ProbeSet, ctx)

    def metrics(self, ctx: RenderContext) -> MetricsEndpoint | None:
        """Call `hearth_metrics`."""
        from hearth.plugins.types import MetricsEndpoint

        return self._checked("hearth_metrics", MetricsEndpoint, ctx)

    def pod(self, ctx: RenderContext) -> PodAdaptation | None:
        """Call `hearth_pod`."""
        from hearth.plugins.types import PodAdaptation

        return self._checked("hearth_pod", PodAdaptation, ctx)

    def local_command(self, ctx: RenderContext, devices: Sequence[str]) -> LocalLaunch | None:
        """Call `hearth_local_command`; an empty argv is a fault of the plugin."""
        hook = "hearth_local_command"
        launch = self._checked(hook, LocalLaunch, ctx, devices=tuple(devices))
        if launch is not None and not launch.argv:
            raise self._failure(self.adapter(ctx.runtime), hook, "it returned an empty argv")
        return launch

    def local_inventory(self, vendor: str) -> InventorySource | None:
        """Call `hearth_local_inventory`."""
        hook = "hearth_local_inventory"
        return self._validate(vendor, hook, InventorySource, self._call(vendor, hook))

    def local_devices(self, vendor: str, output: InventoryOutput) -> tuple[Device, ...]:
        """Call `hearth_local_devices`; no devices when it is absent or returns None. A double id is a fault of the plugin."""
        hook = "hearth_local_devices"
        result = self._call(vendor, hook, output=output)
        devices = self._validate(vendor, hook, tuple[Device, ...], result) or ()
        ids = [device.id for device in devices]
        if len(set(ids)) != len(ids):
            raise self._failure(vendor, hook, f"it returned a device id twice: {', '.join(ids)}")
        return devices

    def rejection(self, ctx: RenderContext, hook: str, problem: str) -> Exception:
        """Return the `PluginError` for a result that is well-formed but that the host cannot accept."""
        return self._failure(self.adapter(ctx.runtime), hook, problem)

    def _checked(self, hook: str, expected: type[T], ctx: RenderContext, **arguments: object) -> T | None:
        from hearth.plugins.copies import own_copy

        vendor = self.adapter(ctx.runtime)
        if "ctx" not in self._arguments(vendor).get(hook, ()):
            # Copies cost more than calls, and many hooks are absent or do not take them.
            return self._validate(vendor, hook, expected, self._call(vendor, hook, ctx=ctx, **arguments))
        own = replace(ctx, service=own_copy(ctx.service), runtime=own_copy(ctx.runtime), model=replace(ctx.model))
        return self._validate(vendor, hook, expected, self._call(vendor, hook, ctx=own, **arguments))

    def _arguments(self, vendor: str) -> Mapping[str, frozenset[str]]:
        """Return the hooks that a vendor has, each with the names of its arguments."""
        if vendor not in self._hooks:
            plugin = generic if vendor == generic.NAME else self._vendor(vendor).plugin
            self._hooks[vendor] = {
                caller.name: frozenset(implementation.argnames)
                for caller in self._manager.get_hookcallers(plugin) or ()
                for implementation in caller.get_hookimpls()
                if implementation.plugin is plugin
            }
        return self._hooks[vendor]

    def _call(self, vendor: str, hook: str, **arguments: object) -> Any:
        if vendor == generic.NAME:
            plugin: object = generic
        else:
            plugin = self._vendor(vendor).plugin
        if hook not in self._arguments(vendor):
            return None
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        caller = self._manager.subset_hook_caller(hook, others)
        if plugin is generic:
            return caller(**arguments)
        if vendor in self._hanging:
            raise self._failure(vendor, hook, f"it is no longer called, because {self._hanging[vendor]}")

        def work() -> object:
            result = caller(**arguments)
            # A generator runs here, so that what it raises is handled like what a function raises.
            return list(result) if isinstance(result, Iterator) else result

        try:
            return CALLER.call(work, self._hook_timeout)
        except PluginRejects:
            raise
        except HookTimeout as exc:
            self._hanging[vendor] = self._broken[vendor] = f"{hook} did not return within {self._hook_timeout:g} s"
            raise self._failure(vendor, hook, str(exc)) from exc
        except (Exception, SystemExit) as exc:
            raise self._failure(vendor, hook, f"{type(exc).__name__}: {exc}") from exc

    def _validate(self, vendor: str, hook: str, expected: type[T], result: object) -> T | None:
        if result is None:
            return None
        from pydantic import ValidationError

        from hearth.plugins.validation import checked

        try:
            return checked(expected, result)
        except ValidationError as exc:
            first = exc.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            problem = f"its result is not valid: {place + ': ' if place else ''}{first['msg']} (got {first['input']!r})"
            raise self._failure(vendor, hook, problem) from exc

    def _vendor(self, vendor: str) -> LoadedVendor:
        if vendor not in self._loaded:
            self.require(vendor)
        return self._loaded[vendor]

    def _failure(self, vendor: str, hook: str, problem: str) -> Exception:
        from hearth.plugins.errors import PluginError

        loaded = self._loaded.get(vendor)
        return PluginError(
            vendor=vendor,
            distribution=loaded.distribution if loaded else "hearth-serving",
            version=loaded.version if loaded else "built-in",
            hook=hook,
            problem=problem,
        )


def _constant(plugin: object) -> Callable[[], object]:
    return lambda: plugin


def _trace(manager: pluggy.PluginManager, stream: TextIO) -> None:
    def before(hook_name: str, hook_impls: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        who = ", ".join(impl.plugin_name for impl in hook_impls) or "no plugin"
        print(f"plugins: {hook_name} -> {who}", file=stream)

    def after(outcome: Any, hook_name: str, hook_impls: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        result = f"raised {outcome.exception!r}" if outcome.exception else f"returned {outcome.get_result()!r}"
        print(f"plugins: {hook_name} {result}", file=stream)

    manager.add_hookcall_monitoring(before, after)
