"""Form of the results: what Kubernetes and JSON can express (laws 7 and 12)."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hearth.api import parse_quantity
from hearth.planning import Plan, as_document
from hearth.testing.case import Case
from hearth.testing.faults import faults, malformed
from hearth.testing.law import VALIDITY, LawBroken
from hearth.testing.search import Search
from hearth.testing.subject import RESULTS, Subject


def validity(subject: Subject, search: Search) -> None:
    """Types, names, paths and amounts."""
    for hook in ("hearth_local_inventory", "hearth_local_devices"):
        for output in subject.inventories if hook == "hearth_local_devices" else (None,):
            outcome = subject.call(hook, **({"output": output} if output else {}))
            problem = malformed(hook, outcome)
            if problem:
                raise LawBroken(problem, hook=hook, remedy="return what docs/plugins.md says for this hook")

    def check(case: Case) -> None:
        for fault in faults(subject, case):
            if fault.law is VALIDITY:
                raise LawBroken(
                    fault.problem,
                    hook=fault.hook,
                    remedy="return what docs/plugins.md says for this hook, in the form that Kubernetes accepts",
                    given=case.described(),
                )
        plan = subject.plan(case)
        if isinstance(plan, Plan):
            _amounts(plan, case)

    search.for_all(subject.cases(), check)


def json_round_trip(subject: Subject, search: Search) -> None:
    """Everything survives being written as JSON and read again."""

    def check(case: Case) -> None:
        for hook, value in subject.values(case).items():
            adapter: TypeAdapter[Any] = TypeAdapter(RESULTS[hook])
            try:
                text = adapter.dump_json(value)
                same = adapter.validate_json(text) == value
            except (ValueError, ValidationError) as exc:
                raise _lossy(str(exc).partition("\n")[0], hook, case) from exc
            if not same:
                raise _lossy(f"it is read again as {text.decode()[:200]}", hook, case)
        plan = subject.plan(case)
        if isinstance(plan, Plan):
            document = [as_document(plan), list(plan.objects), plan.pod]
            try:
                same = json.loads(json.dumps(document, allow_nan=False)) == document
            except (TypeError, ValueError) as exc:
                raise _lossy(str(exc), "", case) from exc
            if not same:
                raise _lossy("it is read again as something else", "", case)

    search.for_all(subject.cases(), check)


def _lossy(problem: str, hook: str, case: Case) -> LawBroken:
    what = "the result" if hook else "the plan"
    return LawBroken(
        f"{what} does not survive JSON: {problem}",
        hook=hook,
        remedy="use text, whole numbers, booleans, lists and mappings with text keys; write amounts as quantities",
        given=case.described(),
    )


def _amounts(plan: Plan, case: Case) -> None:
    """Check that extended resources are whole numbers, and limits only: Kubernetes copies them to the requests."""
    resources = plan.serving["resources"]
    for name, amount in resources.get("limits", {}).items():
        quantity = parse_quantity(amount)
        if str(quantity) != amount and parse_quantity(str(quantity)) != quantity:
            raise LawBroken(
                f"the limit {name}: {amount!r} is not a quantity", remedy="write it as 16Gi", given=case.described()
            )
        if "/" in name and not (amount.isdigit() and int(amount) > 0):
            raise LawBroken(
                f"the limit {name}: {amount!r} is not a whole number above 0",
                remedy="count devices, or units of your device plugin",
                given=case.described(),
            )
    wrong = sorted(name for name in resources.get("requests", {}) if "/" in name)
    if wrong:
        raise LawBroken(
            f"the extended resource {wrong[0]} is among the requests", remedy="limits do", given=case.described()
        )
