"""Shipped runtimes of a plugin: law 14."""

from __future__ import annotations

from hearth.api import InferenceRuntime, LLMService, parse_manifests
from hearth.planning import PlanningError, Target
from hearth.testing.case import Case
from hearth.testing.law import LawBroken
from hearth.testing.search import Search
from hearth.testing.subject import Subject

_HOOK = "hearth_runtimes"


def packaged_runtimes(subject: Subject, search: Search) -> None:
    """They parse, belong to this vendor, have one name each, and render for every target that the vendor claims."""
    del search
    outcome = subject.call(_HOOK)
    if outcome.kind != "value":
        return
    found = subject.host.runtimes()
    problem = subject.host.problem(subject.vendor)
    if problem is not None:
        raise LawBroken(problem, hook=_HOOK, remedy="fix the file; `hearth plugins` shows this too")
    names = [packaged.manifest.metadata.name for packaged in found]
    for name in names:
        if names.count(name) > 1:
            raise LawBroken(f"two files hold {name!r}", hook=_HOOK, remedy="give each runtime a name of its own")
    for packaged in found:
        runtime = packaged.manifest
        again = parse_manifests(packaged.text, file=packaged.origin).runtimes[0]
        if again != InferenceRuntime.model_validate(runtime.to_wire()):
            raise LawBroken(
                f"{packaged.origin} reads differently when it is written and read again",
                hook=_HOOK,
                remedy="report this to Hearth with the file",
            )
        for target in subject.targets:
            _render(subject, runtime, packaged.origin, target)


def _render(subject: Subject, runtime: InferenceRuntime, origin: str, target: Target) -> None:
    name = runtime.metadata.name
    service = LLMService.model_validate(
        {
            "metadata": {"name": "tiny"},
            "spec": {"model": {"source": {"uri": "hf://acme/tiny"}}, "runtime": {"name": name}},
        }
    )
    refusal = subject.plan(Case(service, runtime, target))
    # What a hook gets wrong is told by the laws of hooks.
    if isinstance(refusal, PlanningError):
        raise LawBroken(
            f"{origin} does not render for the target {target}: {refusal}",
            hook=_HOOK,
            remedy="try it: hearth explain -f service.yaml with spec.runtime.name",
        ) from refusal
