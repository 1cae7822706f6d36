"""The plugin under test: its hooks called alone and bounded, and plans made with it and without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import EntryPoint
from typing import Any, Literal

import pluggy
from hypothesis import strategies as st
from pydantic import ValidationError

from hearth.api import HearthError, InferenceRuntime
from hearth.planning import Plan, Target, make_plan
from hearth.plugins import (
    ENTRY_POINT_GROUP,
    AcceleratorRequest,
    Candidate,
    Device,
    InventoryOutput,
    InventorySource,
    LocalLaunch,
    MetricsEndpoint,
    PluginRejects,
    PodAdaptation,
    ProbeSet,
    VendorHost,
    VendorInfo,
    hookimpl,
    hookspecs,
)
from hearth.plugins.loader import LoadedVendor, installed_candidates, load_vendors
from hearth.plugins.timeouts import CALLER, HookTimeout
from hearth.plugins.types import Env
from hearth.plugins.validation import checked
from hearth.testing import strategies
from hearth.testing.case import Case
from hearth.testing.rehearsal import HASH_SEEDS, Rehearsal, rehearse

RESULTS: Mapping[str, Any] = {
    "hearth_accelerator": AcceleratorRequest,
    "hearth_env": Env,
    "hearth_probes": ProbeSet,
    "hearth_metrics": MetricsEndpoint,
    "hearth_pod": PodAdaptation,
    "hearth_local_command": LocalLaunch,
    "hearth_local_inventory": InventorySource,
    "hearth_local_devices": tuple[Device, ...],
}
"""What each hook returns; `hearth_vendor` and `hearth_runtimes` are looked at when a plugin is loaded."""

HOOK_TIMEOUT = 2.0
"""Seconds that one call of a hook may take; a pure function needs a few microseconds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call of a hook ended: with a value, with PluginRejects, with anything else, or not in time."""

    kind: Literal["value", "rejects", "raised", "hung"]
    value: Any = None
    error: BaseException | None = None


class Subject:
    """A vendor plugin, loaded. `Subject.load` finds it; `runtimes` are those that it ships, if they can be read."""

    def __init__(
        self,
        loaded: LoadedVendor,
        *,
        reference: str | None = None,
        device_ids: Sequence[str] = strategies.DEVICE_IDS,
        inventories: Sequence[InventoryOutput] = (),
        hook_timeout: float = HOOK_TIMEOUT,
    ) -> None:
        self.loaded = loaded
        self.vendor = loaded.info.name
        self.info = loaded.info
        self.reference = reference
        self.device_ids = tuple(device_ids)
        self.inventories = tuple(inventories)
        self.hook_timeout = hook_timeout
        self.host = VendorHost([loaded])
        self.bare = VendorHost([replace(loaded, plugin=_Bare(loaded.info))])
        self._hung: set[str] = set()
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._manager.register(loaded.plugin, name=self.vendor)
        self.hooks = frozenset(caller.name for caller in self._manager.get_hookcallers(loaded.plugin) or ())

    @classmethod
    def load(cls, vendor: str, *, reference: str | None = None, **options: Any) -> Subject:
        """Load an installed vendor, or the plugin at `reference` (`module` or `module:object`, as an entry point says).

        Raises HearthError when there is no such plugin, or when the host refuses it.
        """
        if reference is None:
            candidates = [candidate for candidate in installed_candidates() if candidate.name == vendor]
        else:
            point = EntryPoint(vendor, reference, ENTRY_POINT_GROUP)
            candidates = [Candidate(vendor, reference.partition(":")[0], "0", point.load)]
        if not candidates:
            raise HearthError(
                f"there is no vendor {vendor!r} to check",
                f'install its distribution (pip install -e .) with an entry point {vendor!r} in "{ENTRY_POINT_GROUP}"; '
                "`hearth plugins` lists what is installed",
            )
        loaded, unusable = load_vendors(candidates, {})
        if not loaded:
            raise HearthError(
                f"the plugin for vendor {vendor!r} cannot be loaded: {unusable[0].error}", "fix that first"
            )
        return cls(loaded[0], reference=reference, **options)

    @cached_property
    def runtimes(self) -> tuple[InferenceRuntime, ...]:
        """The packaged runtimes; none when they cannot be read, which is another law's business."""
        if self.call("hearth_runtimes").kind != "value":
            return ()
        return tuple(packaged.manifest for packaged in self.host.runtimes())

    @cached_property
    def rehearsal(self) -> Rehearsal | None:
        """What the plugin does in a fresh process; None when that had to be stopped."""
        return next(iter(self._rehearse(HASH_SEEDS[:1])), None)

    @cached_property
    def rehearsals(self) -> tuple[Rehearsal, ...]:
        """The same under several hash seeds."""
        first = self.rehearsal
        return (first, *self._rehearse(HASH_SEEDS[1:])) if first else ()

    def _rehearse(self, seeds: Sequence[str]) -> tuple[Rehearsal, ...]:
        return rehearse(
            self.vendor, self.reference, device_ids=self.device_ids, hook_timeout=self.hook_timeout, seeds=seeds
        )

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets that the vendor supports."""
        return ("cluster", "local") if "local" in self.info.capabilities else ("cluster",)

    def cases(self, *targets: Target) -> st.SearchStrategy[Case]:
        """Return the inputs that fit this vendor, for some targets or for all of its own."""
        return strategies.cases(
            self.vendor,
            base=[runtime for runtime in self.runtimes if runtime.spec.adapter == "plugin"],
            device_ids=self.device_ids,
            targets=targets or self.targets,
            fractions="fraction" in self.info.capabilities,
        )

    def call(self, hook: str, **arguments: object) -> Outcome:
        """Call one hook as the host does. A hook that was late once is not called again."""
        if hook not in self.hooks:
            return Outcome("value")
        if hook in self._hung:
            return Outcome("hung")
        caller = getattr(self._manager.hook, hook)

        def work() -> object:
            result = caller(**arguments)
            return list(result) if isinstance(result, Iterator) else result

        try:
            return Outcome("value", CALLER.call(work, self.hook_timeout))
        except HookTimeout as exc:
            self._hung.add(hook)
            return Outcome("hung", error=exc)
        except PluginRejects as exc:
            return Outcome("rejects", error=exc)
        except BaseException as exc:  # noqa: BLE001 - which exceptions a hook may raise is what is being tested
            return Outcome("raised", error=exc)

    def calls(self, case: Case) -> Mapping[str, Callable[[], Outcome]]:
        """Return the calls that planning and starting this case would make, each with arguments of its own."""

        def told(hook: str) -> Callable[[], Outcome]:
            return lambda: self.call(hook, ctx=case.context)

        hooks = {hook: told(hook) for hook in ("hearth_accelerator", "hearth_env", "hearth_probes", "hearth_metrics")}
        if case.target == "cluster":
            hooks["hearth_pod"] = told("hearth_pod")
        else:
            hooks["hearth_local_command"] = lambda: self.call(
                "hearth_local_command", ctx=case.context, devices=case.devices
            )
        return {hook: call for hook, call in hooks.items() if hook in self.hooks}

    def results(self, case: Case) -> Mapping[str, Outcome]:
        """Return the outcome of every hook for a case."""
        return {hook: call() for hook, call in self.calls(case).items()}

    def values(self, case: Case) -> Mapping[str, Any]:
        """Return the well-formed results for a case, by hook; None, refusals and failures are left out."""
        found: dict[str, Any] = {}
        for hook, outcome in self.results(case).items():
            value = well_formed(hook, outcome)
            if value is not None:
                found[hook] = value
        return found

    def plan(self, case: Case, host: VendorHost | None = None) -> Plan | HearthError | None:
        """Plan a case with this vendor's host or another one; return the refusal if there is one.

        None when nothing can be said, because a hook hangs.
        """
        if host is not self.bare and any(outcome.kind == "hung" for outcome in self.results(case).values()):
            return None
        try:
            return make_plan(case.service, runtimes=[case.runtime], host=host or self.host, target=case.target)
        except HearthError as refusal:
            return refusal

    def steady(self, case: Case) -> bool:
        """Whether a case has a plan, and the same one each time; what compares plans has nothing to say otherwise."""
        one, other = self.plan(case), self.plan(case)
        return isinstance(one, Plan) and isinstance(other, Plan) and one.pod == other.pod


class _Bare:
    """The vendor without any addition, for the pod that the plugin's additions are compared with."""

    def __init__(self, info: VendorInfo) -> None:
        self._info = info

    @hookimpl
    def hearth_vendor(self) -> VendorInfo:
        return self._info


def well_formed(hook: str, outcome: Outcome) -> Any:
    """Return the checked value of an outcome; None when there is none, or when it is not what the hook may return."""
    if outcome.kind != "value" or outcome.value is None:
        return None
    try:
        return checked(RESULTS[hook], outcome.value)
    except ValidationError:
        return None
