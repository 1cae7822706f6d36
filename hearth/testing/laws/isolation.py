"""Isolation: other plugins make no difference (laws 9 and 10)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from hearth.api import HearthError, InferenceRuntime
from hearth.planning import as_document, make_plan
from hearth.plugins import Candidate, RenderContext, VendorHost, VendorInfo, hookimpl
from hearth.testing.case import Case
from hearth.testing.law import LawBroken
from hearth.testing.search import Search
from hearth.testing.strategies import small_runtime
from hearth.testing.subject import Subject

_MODULE = "hearth_neighbour_"


def vendor_isolation(subject: Subject, search: Search) -> None:
    """Alone, among good and broken plugins, and alone again: the same plan; and the neighbours keep theirs."""
    good, raising, missing = (f"{subject.vendor}-{kind}" for kind in ("good", "raising", "missing"))

    def check(case: Case) -> None:
        if not subject.steady(case):
            return
        before = _planned(case, [case.runtime], _load(_own(subject)))
        with _neighbours(good, raising) as others:
            crowd = [_own(subject), *others, Candidate(missing, f"hearth-{missing}", "0", _fail)]
            among = _planned(case, [case.runtime], _load(*crowd))
            theirs = [_neighbour_plan(case, good, _load(*crowd[start:])) for start in (0, 1)]
        after = _planned(case, [case.runtime], _load(_own(subject)))
        if not before == among == after:
            raise LawBroken(
                "the plan depends on which other plugins are installed",
                remedy="decide from the context alone; leave sys.modules, the entry points and shared state alone",
                given=case.described(),
            )
        if theirs[0] != theirs[1]:
            raise LawBroken(
                f"another vendor's plan changes when this plugin is installed: {theirs[1]} becomes {theirs[0]}",
                remedy="change nothing that other plugins use: no patches, no registrations outside of your package",
                given=case.described(),
            )

    search.shorter.for_all(subject.cases(), check)


def order_independence(subject: Subject, search: Search) -> None:
    """Compare plans with the plugin loaded first, last and in between, and with runtimes in other orders."""
    # The loader sorts by name, so it is the names of the neighbours that decide who is loaded first.
    pairs = [("00-first", "01-second"), (f"{subject.vendor}-a", "zzz-last")]

    def check(case: Case) -> None:
        if not subject.steady(case):
            return
        found: list[str] = []
        for pair in pairs:
            other = _neighbour_runtime(pair[0])
            with _neighbours(*pair) as others:
                found.append(_planned(case, [case.runtime, other], _load(_own(subject), *others)))
                found.append(_planned(case, [other, case.runtime], _load(*reversed(others), _own(subject))))
        if len(set(found)) > 1:
            raise LawBroken(
                "the plan depends on the order in which plugins are loaded or runtimes are listed",
                remedy="keep no state between calls; hearth_vendor says who you are and does nothing else",
                given=case.described(),
            )

    search.shorter.for_all(subject.cases(), check)


def _load(*candidates: Candidate) -> VendorHost:
    return VendorHost.load(candidates=candidates, environ={})


def _own(subject: Subject) -> Candidate:
    return Candidate(subject.vendor, subject.loaded.distribution, subject.loaded.version, lambda: subject.loaded.plugin)


def _planned(case: Case, runtimes: Sequence[InferenceRuntime], host: VendorHost) -> str:
    try:
        plan = make_plan(case.service, runtimes=runtimes, host=host, target=case.target)
    except HearthError as refusal:
        return f"refused: {refusal.message}"
    return repr((as_document(plan), plan.pod, plan.objects))


def _neighbour_plan(case: Case, vendor: str, host: VendorHost) -> str:
    runtime = _neighbour_runtime(vendor)
    wire = case.service.to_wire()
    wire["spec"]["runtime"]["name"] = runtime.metadata.name
    wire["spec"]["resources"].pop("fraction", None)
    service = type(case.service).model_validate(wire)
    return _planned(Case(service, runtime, "cluster"), [runtime], host)


def _neighbour_runtime(vendor: str) -> InferenceRuntime:
    return InferenceRuntime.model_validate(small_runtime(vendor))


@contextmanager
def _neighbours(*vendors: str) -> Iterator[list[Candidate]]:
    """Plugins whose import puts a module into sys.modules, as an import does; taken away in the end."""
    try:
        yield [Candidate(vendor, f"hearth-{vendor}", "0", _importer(vendor)) for vendor in vendors]
    finally:
        for vendor in vendors:
            sys.modules.pop(_MODULE + vendor, None)


def _importer(vendor: str) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        module = ModuleType(_MODULE + vendor)
        hooks: dict[str, Callable[..., Any]] = {"hearth_vendor": lambda: VendorInfo(vendor, title=vendor.title())}
        if vendor.endswith("-raising"):
            hooks |= {"hearth_env": _raise, "hearth_pod": _raise, "hearth_accelerator": _raise}
        for name, hook in hooks.items():
            setattr(module, name, hookimpl(hook))
        sys.modules[module.__name__] = module
        return module

    return load


def _raise(ctx: RenderContext) -> None:
    raise RuntimeError(f"never called for {ctx.service.metadata.name}")


def _fail() -> object:
    raise ImportError("a neighbour whose driver is missing")
