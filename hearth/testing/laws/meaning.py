"""Meaning of a request: n accelerators are n devices, and selectors are Hearth's (laws 13 and 16)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hearth.planning import Plan
from hearth.planning.labels import selector_labels
from hearth.testing.case import Case, with_service
from hearth.testing.faults import faults
from hearth.testing.law import SELECTOR_LABELS, LawBroken
from hearth.testing.search import Search
from hearth.testing.subject import Subject

_COUNTS = (1, 2, 3, 4, 8)
_NAMES = ("placeholder-one", "placeholder-two")


def metamorphic(subject: Subject, search: Search) -> None:
    """N accelerators are n devices, more CPU is no more devices, another name changes names only."""

    def check(case: Case) -> None:
        if not subject.steady(case):
            return
        if case.service.spec.resources.fraction is None:
            _counts(subject, case)
        _cpu(subject, case)
        _rename(subject, case)

    search.for_all(subject.cases("cluster"), check)


def selector_labels_are_hearths(subject: Subject, search: Search) -> None:
    """Check that nothing of the vendor's is in the Deployment's selector, which can never change."""

    def check(case: Case) -> None:
        for fault in faults(subject, case):
            if fault.law is SELECTOR_LABELS:
                raise LawBroken(
                    fault.problem, hook=fault.hook, remedy="use a label of your own domain", given=case.described()
                )
        plan = subject.plan(case)
        if isinstance(plan, Plan):
            for selector in _selectors(plan):
                foreign = selector.keys() - selector_labels(case.service).keys() - {"app.kubernetes.io/component"}
                if foreign & plan.pod["metadata"]["labels"].keys() - _own_labels(subject, case):
                    raise LawBroken(
                        f"the selector has the vendor's label {sorted(foreign)[0]!r}",
                        hook="hearth_pod",
                        remedy="report this to Hearth",
                        given=case.described(),
                    )

    search.for_all(subject.cases("cluster"), check)


def _counts(subject: Subject, case: Case) -> None:
    accelerator = case.runtime.spec.accelerator
    for count in _COUNTS:
        asked = with_service(case, accelerators=count)
        plan = subject.plan(asked)
        if not isinstance(plan, Plan):
            continue
        limits = plan.serving["resources"]["limits"]
        wanted = str(count * accelerator.dies)
        if limits.get(accelerator.resource_name) != wanted:
            raise LawBroken(
                f"{count} accelerators of {accelerator.dies} devices should be {accelerator.resource_name}: {wanted}, "
                f"and the limits are {limits}",
                hook="hearth_accelerator",
                remedy="multiply by ctx.service.spec.resources.accelerators and ctx.runtime.spec.accelerator.dies, or "
                "return None",
                given=asked.described(),
            )


def _cpu(subject: Subject, case: Case) -> None:
    plans = [subject.plan(with_service(case, cpu=amount)) for amount in ("1", "7")]
    one, other = (plan.pod if isinstance(plan, Plan) else None for plan in plans)
    if one is None or other is None:
        return
    if json.dumps(one).replace('"cpu": "1"', '"cpu": "7"') != json.dumps(other):
        raise LawBroken(
            "asking for more CPU changes more than the CPU",
            remedy="derive nothing from spec.resources.cpu",
            given=case.described(),
        )


def _rename(subject: Subject, case: Case) -> None:
    plans = [subject.plan(with_service(case, {"name": name})) for name in _NAMES]
    one, other = (json.dumps(plan.objects) if isinstance(plan, Plan) else None for plan in plans)
    if one is None or other is None:
        return
    if one.replace(_NAMES[0], _NAMES[1]) != other:
        raise LawBroken(
            "another name of the service changes more than names",
            remedy="use the service's name as it is, or not at all",
            given=case.described(),
        )


def _selectors(plan: Plan) -> Iterator[Mapping[str, Any]]:
    for item in plan.objects:
        selector = item.get("spec", {}).get("selector") or {}
        yield selector.get("matchLabels", selector) if isinstance(selector, Mapping) else {}


def _own_labels(subject: Subject, case: Case) -> set[str]:
    """Return the labels of the pod that are there without the plugin; what remains is the vendor's."""
    base = subject.plan(case, subject.bare)
    labels = set(base.pod["metadata"]["labels"]) if isinstance(base, Plan) else set()
    return labels - set(case.runtime.spec.pod.labels)
