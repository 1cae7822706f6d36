"""Vendor plugins that tests make on the spot, and hosts of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hearth.plugins import Candidate, LocalLaunch, VendorHost, VendorInfo, hookimpl
from tests.support.manifests import VENDOR

Hook = Callable[..., Any]


class Plugin:
    """Object that carries hooks."""

    def __init__(self, **hooks: Hook) -> None:
        for name, hook in hooks.items():
            setattr(self, name, hookimpl(hook))


def plugin(
    name: str = VENDOR,
    /,
    *,
    capabilities: Sequence[str] = (),
    info: Mapping[str, Any] | None = None,
    **hooks: Hook,
) -> Plugin:
    """Return a plugin with the given functions as hooks. With the capability `local` it has those of local mode."""

    def hearth_vendor() -> VendorInfo:
        return VendorInfo(**{"name": name, "title": name.title(), "capabilities": tuple(capabilities), **(info or {})})

    local = _local_hooks(name) if "local" in capabilities else {}
    return Plugin(**{"hearth_vendor": hearth_vendor, **local, **hooks})


def host(*vendors: str, capabilities: Sequence[str] = ("local",), **hooks: Hook) -> VendorHost:
    """Return a host of plugins that are alike but for their names, by default one."""
    return VendorHost.of({name: plugin(name, capabilities=capabilities, **hooks) for name in vendors or (VENDOR,)})


def candidate(name: str, made: object, *, distribution: str | None = None, version: str = "1.2.3") -> Candidate:
    """Return a plugin as an installed distribution offers it."""
    return Candidate(name, distribution or f"hearth-{name}", version, lambda: made)


def _local_hooks(name: str) -> dict[str, Hook]:
    def hearth_local_command(devices: tuple[str, ...]) -> LocalLaunch:
        return LocalLaunch(argv=(f"{name}-engine",), env={"CHIPS": ",".join(devices)})

    return {
        "hearth_local_command": hearth_local_command,
        "hearth_local_inventory": lambda: None,
        "hearth_local_devices": lambda: None,
    }
