"""Purity and totality of the hooks: laws 1, 2, 3 and 11."""

from __future__ import annotations

from pydantic import TypeAdapter

from hearth.api import HearthError
from hearth.planning import PlanningError
from hearth.plugins import InventoryOutput, PluginError, RenderContext
from hearth.testing import strategies
from hearth.testing.case import Case
from hearth.testing.faults import faults
from hearth.testing.law import LawBroken
from hearth.testing.search import Search
from hearth.testing.subject import RESULTS, Outcome, Subject, well_formed


def determinism(subject: Subject, search: Search) -> None:
    """Twice the same call, then whole processes under other hash seeds."""

    def check(case: Case) -> None:
        for hook, call in subject.calls(case).items():
            outcomes = (call(), call())
            first, second = (_told(hook, outcome) for outcome in outcomes)
            if first != second and not any(outcome.kind == "hung" for outcome in outcomes):
                raise LawBroken(
                    f"two calls with the same arguments gave {first} and then {second}",
                    hook=hook,
                    remedy="compute the result from the arguments alone; keep nothing between calls",
                    given=case.described(),
                )

    search.for_all(subject.cases(), check)
    runs = subject.rehearsals
    for other in runs[1:]:
        if other.rendered != runs[0].rendered:
            raise LawBroken(
                f"PYTHONHASHSEED={runs[0].hash_seed} and {other.hash_seed} render other manifests: "
                f"{_first_difference(runs[0].rendered, other.rendered)}",
                remedy="the order of a set changes from run to run: sort it, or use a tuple or a dict",
            )


def no_mutation(subject: Subject, search: Search) -> None:
    """Dump the arguments before and after."""

    def check(case: Case) -> None:
        for hook in subject.calls(case):
            ctx, expected = case.context, _dumped(case.context)
            arguments = {"devices": case.devices} if hook == "hearth_local_command" else {}
            subject.call(hook, ctx=ctx, **arguments)
            if _dumped(ctx) != expected:
                raise LawBroken(
                    "it changed its context",
                    hook=hook,
                    remedy="build new values instead, such as {**ctx.service.metadata.labels, ...}",
                    given=case.described(),
                )

    search.for_all(subject.cases(), check)


def no_access(subject: Subject, search: Search) -> None:
    """Listen to Python's audit events while the hooks run in another process."""
    del search
    run = subject.rehearsal
    for hook, access in run.accesses if run else ():
        raise LawBroken(
            f"it used {access}",
            hook=hook,
            remedy="hooks see their arguments only: no file, network, process, clock or environment. What this machine "
            "has, the host reads for you: hearth_local_inventory says what. Constants belong into the module",
        )


def totality(subject: Subject, search: Search) -> None:
    """Every valid input gives a value or PluginRejects, in time; and what the host makes of it is a plan or a reason."""
    for hook in ("hearth_vendor", "hearth_runtimes", "hearth_local_inventory"):
        _ended(subject, hook, subject.call(hook), "")
    _devices(subject, search)

    def check(case: Case) -> None:
        for hook, outcome in subject.results(case).items():
            _ended(subject, hook, outcome, case.described())
        _planned(subject, case)

    search.for_all(subject.cases(), check)


def _ended(subject: Subject, hook: str, outcome: Outcome, given: str) -> None:
    if outcome.kind == "hung":
        raise LawBroken(
            f"it did not return within {subject.hook_timeout:g} s",
            hook=hook,
            remedy="a hook only computes; it waits for nothing",
            given=given,
        )
    if outcome.kind == "raised":
        raise LawBroken(
            f"it raised {type(outcome.error).__name__}: {outcome.error}",
            hook=hook,
            remedy="return a value, or raise PluginRejects(reason, message) for what the vendor cannot do",
            given=given,
        ) from outcome.error


def _devices(subject: Subject, search: Search) -> None:
    """Whatever a machine prints is parsed or refused."""
    hook = "hearth_local_devices"
    source = well_formed("hearth_local_inventory", subject.call("hearth_local_inventory"))

    def check(output: InventoryOutput) -> None:
        _ended(subject, hook, subject.call(hook, output=output), repr(output))

    if hook in subject.hooks:
        search.for_all(strategies.inventories(source.environment if source else ()), check)


def _planned(subject: Subject, case: Case) -> None:
    """Check that the host takes the results; it refuses some for reasons that no other law has a name for."""
    plan = subject.plan(case)
    if isinstance(plan, HearthError) and not isinstance(plan, PlanningError) and not list(faults(subject, case)):
        raise LawBroken(
            f"the host cannot use the results: {plan.problem if isinstance(plan, PluginError) else plan}",
            hook=plan.hook if isinstance(plan, PluginError) else "",
            remedy="return what docs/plugins.md says for this hook",
            given=case.described(),
        )


def _told(hook: str, outcome: Outcome) -> str:
    if outcome.kind == "value":
        value = well_formed(hook, outcome)
        return repr(outcome.value if value is None else TypeAdapter(RESULTS[hook]).dump_python(value))
    return f"{outcome.kind}: {type(outcome.error).__name__}: {outcome.error}"


def _dumped(ctx: RenderContext) -> object:
    return ctx.service.to_wire(), ctx.runtime.to_wire(), repr(ctx.model)


def _first_difference(one: str, other: str) -> str:
    for left, right in zip(one.splitlines(), other.splitlines(), strict=False):
        if left != right:
            return f"{left.strip()!r} here, {right.strip()!r} there"
    return "one is longer than the other"
