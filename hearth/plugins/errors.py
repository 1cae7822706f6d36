"""Errors between the host and a plugin."""

from __future__ import annotations

from hearth.api.errors import HearthError


class PluginError(HearthError):
    """Failure of a plugin: it raised something unexpected, or returned something that its contract does not allow.

    It names vendor, distribution, version and hook; the original exception is the cause (`__cause__`). `reason` is
    the CamelCase word for a condition, as PlanningError has one.
    """

    reason = "PluginFailed"

    def __init__(self, *, vendor: str, distribution: str, version: str, hook: str, problem: str) -> None:
        super().__init__(
            f"the plugin for vendor {vendor!r} ({distribution} {version}) failed in {hook}: {problem}",
            f"upgrade {distribution} or report this to its authors; HEARTH_DISABLED_PLUGINS={vendor} turns it off",
        )
        self.vendor = vendor
        self.distribution = distribution
        self.version = version
        self.hook = hook
        self.problem = problem


class VendorUnavailable(HearthError):
    """Lack of a usable plugin for a vendor: none is installed, it is broken, or it is turned off."""

    reason = "UnsupportedVendor"

    def __init__(self, vendor: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.vendor = vendor
