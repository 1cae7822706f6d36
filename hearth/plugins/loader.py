"""Loader of vendor plugins: one at a time, so that a broken one blocks only its own vendor.

pluggy's own `load_setuptools_entrypoints` lets one ImportError stop the host, skips a second plugin of the same name
silently and loads in the order of the installation; hence a loader of our own on top of pluggy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import pluggy

from hearth.plugins import generic, hookspecs
from hearth.plugins.timeouts import CALLER, HookTimeout
from hearth.plugins.vendor import PLUGIN_API, VENDOR_KEY, VendorInfo

IMPORT_TIMEOUT = 10.0
"""Seconds that the import of one plugin may take."""

_LOCAL_HOOKS = ("hearth_local_command", "hearth_local_inventory", "hearth_local_devices")


@dataclass(frozen=True, slots=True)
class VendorStatus:
    """Status of a plugin for `hearth plugins`. `state` is `ready`, `error` or `disabled`; `error` says why it is not ready.

    `name` is the vendor key; `title` and `capabilities` are known only when the plugin could be loaded, `distribution`
    and `version` are empty when nothing provides the vendor. `runtimes` are the names of the packaged runtimes.
    """

    name: str
    title: str = ""
    distribution: str = ""
    version: str = ""
    state: Literal["ready", "error", "disabled"] = "ready"
    error: str = ""
    capabilities: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """Plugin that may be loaded. `load` imports it and returns the module or object that has the hooks."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]


@dataclass(frozen=True, slots=True)
class LoadedVendor:
    """Plugin that passed every check."""

    info: VendorInfo
    distribution: str
    version: str
    plugin: object


class _Refused(Exception):
    """Refusal of a plugin; the text says why."""


def installed_candidates() -> tuple[Candidate, ...]:
    """Return the entry points of the group `hearth.vendors`, by name and then by distribution."""
    from importlib.metadata import entry_points  # slow to import

    found = [
        Candidate(
            name=point.name,
            distribution=point.dist.name if point.dist else "unknown",
            version=point.dist.version if point.dist else "unknown",
            load=point.load,
        )
        for point in entry_points(group=hookspecs.ENTRY_POINT_GROUP)
    ]
    return tuple(sorted(found, key=_order))


def load_vendors(
    candidates: Iterable[Candidate], environ: Mapping[str, str], *, import_timeout: float = IMPORT_TIMEOUT
) -> tuple[tuple[LoadedVendor, ...], tuple[VendorStatus, ...]]:
    """Load what the environment allows; return what is usable, and the status of every candidate that is not.

    `HEARTH_PLUGINS` (an allow-list of vendor keys, comma-separated; set but empty allows none) and
    `HEARTH_DISABLED_PLUGINS` (a block-list) come from `environ`. The result does not depend on the order of candidates.
    """
    ordered = sorted(candidates, key=_order)
    allowed = _names(environ["HEARTH_PLUGINS"]) if "HEARTH_PLUGINS" in environ else None
    blocked = _names(environ.get("HEARTH_DISABLED_PLUGINS", ""))
    loaded: list[LoadedVendor] = []
    statuses: list[VendorStatus] = []
    for name in sorted({candidate.name for candidate in ordered}):
        same = [candidate for candidate in ordered if candidate.name == name]
        switched_off = _switched_off(name, allowed, blocked)
        if switched_off:
            statuses += [_status(candidate, "disabled", switched_off) for candidate in same]
        elif len(same) > 1:
            statuses += [_status(candidate, "error", _duplicate(same)) for candidate in same]
        else:
            try:
                loaded.append(_load(same[0], import_timeout))
            except _Refused as refused:
                statuses.append(_status(same[0], "error", str(refused)))
    known = {candidate.name for candidate in ordered} | {generic.NAME}
    for name in sorted((allowed or set()) - known):
        statuses.append(VendorStatus(name, state="error", error=f"HEARTH_PLUGINS names it, but {not_installed(name)}"))
    return tuple(loaded), tuple(statuses)


def not_installed(vendor: str) -> str:
    """Return the sentence that nothing provides a vendor."""
    return f"no installed distribution provides the vendor {vendor!r}"


def _load(candidate: Candidate, import_timeout: float) -> LoadedVendor:
    if not VENDOR_KEY.fullmatch(candidate.name):
        raise _Refused(f"its entry point name {candidate.name!r} is not a DNS label (lower-case letters, digits, '-')")
    if candidate.name == generic.NAME:
        raise _Refused(f"the vendor key {generic.NAME!r} belongs to Hearth's built-in adapter")
    plugin = _import(candidate, import_timeout)
    if inspect.isclass(plugin) or not (isinstance(plugin, ModuleType) or hasattr(plugin, "__dict__")):
        raise _Refused(f"its entry point is {plugin!r}; point it at a module or at an object that has the hooks")
    if not isinstance(plugin, Hashable):
        raise _Refused(f"its entry point {plugin!r} is not hashable; point it at a module or a plain object")
    return check_plugin(candidate, plugin, import_timeout)


def check_plugin(candidate: Candidate, plugin: object, seconds: float = IMPORT_TIMEOUT) -> LoadedVendor:
    """Check a plugin against the hook specifications, alone, so that its faults affect no other one."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name=candidate.name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as exc:
        raise _Refused(" ".join(str(exc).split())) from exc
    implemented = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    unmarked = sorted(name for name in dir(plugin) if name.startswith("hearth_") and _is_unmarked(plugin, name))
    if unmarked:
        raise _Refused(f"{unmarked[0]} has no @hookimpl, so it would never be called")
    if "hearth_vendor" not in implemented:
        raise _Refused("it has no hearth_vendor hook, which is required")
    try:
        info = CALLER.call(manager.hook.hearth_vendor, seconds)
    except HookTimeout:
        raise _Refused(f"hearth_vendor did not return within {seconds:g} s") from None
    except (Exception, SystemExit) as exc:
        raise _Refused(f"hearth_vendor raised {type(exc).__name__}: {exc}") from exc
    if not isinstance(info, VendorInfo):
        raise _Refused(f"hearth_vendor returned {info!r}, not a VendorInfo")
    if info.api != PLUGIN_API:
        newer = "upgrade hearth" if info.api > PLUGIN_API else f"upgrade {candidate.distribution}"
        raise _Refused(f"it is written for plugin API {info.api} and this Hearth speaks {PLUGIN_API}; {newer}")
    if info.name != candidate.name:
        raise _Refused(f"hearth_vendor says {info.name!r} but its entry point is named {candidate.name!r}")
    lacking = [hook for hook in _LOCAL_HOOKS if hook not in implemented]
    if "local" in info.capabilities and lacking:
        raise _Refused(f"it claims the capability 'local' but lacks {', '.join(lacking)}")
    return LoadedVendor(info, candidate.distribution, candidate.version, plugin)


def _is_unmarked(plugin: object, name: str) -> bool:
    value = inspect.getattr_static(plugin, name)
    if not inspect.isroutine(value):
        return False
    function = getattr(value, "__func__", value)
    return not hasattr(function, f"{hookspecs.PROJECT}_impl")


def _import(candidate: Candidate, seconds: float) -> object:
    """Import in a thread, because an import that hangs (a driver library, a lock) must not hang every command."""
    try:
        return CALLER.call(candidate.load, seconds)
    except HookTimeout:
        raise _Refused(f"its import did not finish within {seconds:g} s") from None
    except (Exception, SystemExit) as exc:
        raise _Refused(f"its import failed with {type(exc).__name__}: {exc}") from exc


def _duplicate(same: Sequence[Candidate]) -> str:
    who = " and ".join(f"{candidate.distribution} {candidate.version}" for candidate in same)
    return f"{who} both provide the vendor {same[0].name!r}; uninstall one of them"


def _switched_off(name: str, allowed: set[str] | None, blocked: set[str]) -> str:
    if name in blocked:
        return "turned off by HEARTH_DISABLED_PLUGINS"
    if allowed is not None and name not in allowed:
        return "not in HEARTH_PLUGINS"
    return ""


def _status(candidate: Candidate, state: Literal["error", "disabled"], error: str) -> VendorStatus:
    return VendorStatus(
        candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        state=state,
        error=error,
    )


def _names(value: str) -> set[str]:
    return {word.strip() for word in value.split(",") if word.strip()}


def _order(candidate: Candidate) -> tuple[str, str, str]:
    return candidate.name, candidate.distribution, candidate.version
