"""The selection of a runtime for a service, with the reasons for and against each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hearth.api import HearthError, InferenceRuntime, LLMService
from hearth.api.wording import closest
from hearth.planning.errors import PlanningError
from hearth.planning.reason import Reason
from hearth.planning.target import Target
from hearth.plugins import VendorHost, VendorUnavailable

_NONE: Mapping[str, HearthError] = {}


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen runtime, sentences that say why, and what looks wrong about the choice."""

    runtime: InferenceRuntime
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...] = ()


def available_runtimes(
    own: Iterable[InferenceRuntime], host: VendorHost, *, invalid: Iterable[str] = ()
) -> tuple[InferenceRuntime, ...]:
    """Return the user's runtimes and those that plugins ship, by name; the user's replace a shipped one of that name.

    So do the user's invalid runtimes, by their names in `invalid`: the user did not ask for the shipped one.
    """
    by_name = {packaged.manifest.metadata.name: packaged.manifest for packaged in host.runtimes()}
    for name in invalid:
        by_name.pop(name, None)
    by_name.update({runtime.metadata.name: runtime for runtime in own})
    return tuple(by_name[name] for name in sorted(by_name))


def named_runtime(
    name: str, runtimes: Sequence[InferenceRuntime], *, field: str = "spec.runtime.name"
) -> InferenceRuntime:
    """Return the runtime of that name. Raises PlanningError (`RuntimeNotFound`), with the names that there are."""
    for runtime in runtimes:
        if runtime.metadata.name == name:
            return runtime
    known = sorted(runtime.metadata.name for runtime in runtimes)
    similar = closest(name, known)
    raise PlanningError(
        "RuntimeNotFound",
        f"{field}: there is no InferenceRuntime {name!r}",
        (f"did you mean {similar!r}? " if similar else "") + f"known: {', '.join(known) or 'none'}",
    )


def select_runtime(
    service: LLMService,
    runtimes: Sequence[InferenceRuntime],
    host: VendorHost,
    target: Target,
    invalid: Mapping[str, HearthError] = _NONE,
) -> Selection:
    """Choose by `spec.runtime.name`, by `spec.runtime.selector.vendor` in its order, or among all by priority.

    `invalid` has the errors of runtimes that cannot be read, by name. One that is among `runtimes` nevertheless stands
    there in its last valid version. Raises PlanningError: `RuntimeNotFound`, `RuntimeInvalid`, `UnsupportedVendor`,
    `RuntimeNotLocal`, `AmbiguousRuntime`, `NoRuntime`.
    """
    wanted = service.spec.runtime
    unread = {name: fault for name, fault in invalid.items() if all(_name(runtime) != name for runtime in runtimes)}
    if wanted.name is not None:
        if wanted.name in unread:
            fault = unread[wanted.name]
            raise PlanningError("RuntimeInvalid", f"spec.runtime.name: {_words(wanted.name, fault)}", fault.remedy)
        chosen = _by_name(wanted.name, wanted.selector.vendor, runtimes, host, target)
    elif wanted.selector.vendor:
        chosen = _by_vendor(wanted.selector.vendor, runtimes, host, target, unread)
    else:
        chosen = _by_priority(runtimes, host, target, unread)
    name = _name(chosen.runtime)
    if name not in invalid:
        return chosen
    warning = f"InferenceRuntime {name!r} is no longer valid; using its last valid version: {invalid[name]}"
    return replace(chosen, warnings=(*chosen.warnings, warning))


def _by_name(
    name: str, vendors: Sequence[str], runtimes: Sequence[InferenceRuntime], host: VendorHost, target: Target
) -> Selection:
    runtime = named_runtime(name, runtimes)
    _require(runtime, host, target)
    warnings = []
    if vendors and runtime.spec.vendor not in vendors:
        warnings.append(
            f"spec.runtime.name {name!r} has vendor {runtime.spec.vendor!r}, which spec.runtime.selector.vendor does "
            "not list; the name decides"
        )
    return Selection(runtime, (Reason(f"runtime {name}", "named by spec.runtime.name"),), tuple(warnings))


def _by_vendor(
    vendors: Sequence[str],
    runtimes: Sequence[InferenceRuntime],
    host: VendorHost,
    target: Target,
    unread: Mapping[str, HearthError],
) -> Selection:
    passed: list[Reason] = []
    for vendor in vendors:
        own = [runtime for runtime in runtimes if runtime.spec.vendor == vendor]
        usable = [runtime for runtime in own if _problem(runtime, host, target) is None]
        if usable:
            chosen = _highest(usable, f"vendor {vendor!r}")
            order = "the only vendor" if len(vendors) == 1 else f"number {vendors.index(vendor) + 1}"
            why = Reason(f"runtime {_name(chosen)}", f"vendor {vendor} is {order} in spec.runtime.selector.vendor")
            # Vendors after the chosen one had no part in the choice.
            return Selection(chosen, (why, *passed, *_outranked(chosen, usable)))
        passed += _why_not(vendor, own, host, target)
    problems = "; ".join([*(reason.words for reason in passed), *_invalid(unread)])
    raise PlanningError(
        "UnsupportedVendor" if len(vendors) == 1 else "NoRuntime",
        f"spec.runtime.selector.vendor: no runtime of {', '.join(vendors)} can be used: {problems}",
        _install_advice(vendors, host),
    )


def _by_priority(
    runtimes: Sequence[InferenceRuntime], host: VendorHost, target: Target, unread: Mapping[str, HearthError]
) -> Selection:
    usable = [runtime for runtime in runtimes if _problem(runtime, host, target) is None]
    unusable = _unusable(runtimes, host, target)
    if not usable:
        problems = "; ".join([*(reason.words for reason in unusable), *_invalid(unread)])
        raise PlanningError(
            "NoRuntime",
            f"no InferenceRuntime can be used: {problems or 'there is none'}",
            "install a vendor plugin (pip install hearth-<vendor>) or give an InferenceRuntime manifest; "
            "`hearth plugins` lists what is installed",
        )
    chosen = _highest(usable, "all vendors")
    only = "the only usable runtime" if len(usable) == 1 else f"the highest priority ({chosen.spec.priority})"
    why = Reason(f"runtime {_name(chosen)}", f"{only}; spec.runtime names none")
    return Selection(chosen, (why, *_outranked(chosen, usable), *unusable))


def _highest(usable: Sequence[InferenceRuntime], among: str) -> InferenceRuntime:
    top = max(runtime.spec.priority for runtime in usable)
    tied = sorted((runtime for runtime in usable if runtime.spec.priority == top), key=_name)
    if len(tied) > 1:
        names = ", ".join(runtime.metadata.name for runtime in tied)
        raise PlanningError(
            "AmbiguousRuntime",
            f"among the runtimes of {among}, {names} share the highest priority {top}",
            f"{_choice(tied)} or give one a higher spec.priority",
        )
    return tied[0]


def _choice(tied: Sequence[InferenceRuntime]) -> str:
    """How the user chooses one of `tied`."""
    first = tied[0]
    pin = f"pin one with spec.runtime.name (such as {first.metadata.name})"
    if len({runtime.spec.vendor for runtime in tied}) == 1:
        return pin
    return f"name the vendor in spec.runtime.selector.vendor (such as [{first.spec.vendor}]), {pin}"


def _outranked(chosen: InferenceRuntime, usable: Sequence[InferenceRuntime]) -> list[Reason]:
    return [
        Reason(_name(runtime), f"priority {runtime.spec.priority} is below {chosen.spec.priority}", rejected=True)
        for runtime in sorted(usable, key=_name)
        if runtime is not chosen
    ]


def _unusable(runtimes: Sequence[InferenceRuntime], host: VendorHost, target: Target) -> list[Reason]:
    return [
        Reason(_name(runtime), problem, rejected=True)
        for runtime in runtimes
        if (problem := _problem(runtime, host, target))
    ]


def _problem(runtime: InferenceRuntime, host: VendorHost, target: Target) -> str | None:
    if runtime.spec.adapter == "plugin":
        problem = host.problem(runtime.spec.vendor)
        if problem is not None:
            return problem
    if target == "cluster":
        return None
    if runtime.spec.adapter == "generic":
        return None if runtime.spec.local else "it has no spec.local, so it cannot run in local mode"
    if "local" not in host.info(runtime).capabilities:
        return f"the plugin for vendor {runtime.spec.vendor!r} does not support local mode"
    return None


def _require(runtime: InferenceRuntime, host: VendorHost, target: Target) -> None:
    if runtime.spec.adapter == "plugin":
        try:
            host.require(runtime.spec.vendor)
        except VendorUnavailable as exc:
            raise PlanningError(
                "UnsupportedVendor", f"runtime {runtime.metadata.name!r}: {exc.message}", exc.remedy
            ) from exc
    problem = _problem(runtime, host, target)
    if problem is not None:
        raise PlanningError(
            "RuntimeNotLocal",
            f"spec.runtime.name: {runtime.metadata.name!r}: {problem}",
            "choose another runtime, or write a runtime with adapter: generic and spec.local.command",
        )


def _why_not(vendor: str, own: Sequence[InferenceRuntime], host: VendorHost, target: Target) -> list[Reason]:
    if own:
        return _unusable(sorted(own, key=_name), host, target)
    return [Reason(f"vendor {vendor}", host.problem(vendor) or "it has no InferenceRuntime", rejected=True)]


def _install_advice(vendors: Sequence[str], host: VendorHost) -> str:
    usable = ", ".join(status.name for status in host.vendors if status.state == "ready")
    absent = [vendor for vendor in vendors if all(status.name != vendor for status in host.vendors)]
    have = f"installed and usable: {usable or 'none'}"
    # A misspelt vendor must not become the name of a package to install.
    installed = [status.name for status in host.vendors]
    near = [name for vendor in absent if (name := closest(vendor, installed, cutoff=0.8))]
    if near:
        return f"did you mean {' or '.join(repr(name) for name in near)}? ({have})"
    if absent:
        return f"pip install {' or '.join(f'hearth-{vendor}' for vendor in absent)}, or select another vendor ({have})"
    return f"see `hearth plugins`, or select another vendor ({have})"


def _invalid(unread: Mapping[str, HearthError]) -> list[str]:
    return [_words(name, fault) for name, fault in sorted(unread.items())]


def _words(name: str, fault: HearthError) -> str:
    return f"InferenceRuntime {name!r} is not valid: {fault.message}"


def _name(runtime: InferenceRuntime) -> str:
    return runtime.metadata.name
