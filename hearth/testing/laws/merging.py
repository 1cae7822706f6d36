"""Merging: what a plugin adds takes nothing away (laws 4, 5, 6 and 8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hearth.api import InferenceRuntime
from hearth.planning import Plan
from hearth.planning.pod import SERVING, TENSOR_PARALLEL
from hearth.plugins import PodAdaptation
from hearth.testing.case import Case
from hearth.testing.comparison import Difference, differences
from hearth.testing.faults import faults
from hearth.testing.law import NO_CLOBBER, UNIQUE_KEYS, LawBroken
from hearth.testing.search import Search
from hearth.testing.subject import Subject

_CONTAINER = ("spec", "containers", SERVING)
_PROBES = {"startupProbe": "startup", "readinessProbe": "readiness", "livenessProbe": "liveness"}


def additive(subject: Subject, search: Search) -> None:
    """Every path of the pod without the plugin is in the pod with it."""

    def check(case: Case) -> None:
        for difference in _changes(subject, case):
            if difference.kind == "lost":
                raise LawBroken(
                    f"of the pod without the plugin, {difference}",
                    remedy="a plugin may add and may change defaults, but takes nothing away; leave the field out",
                    given=case.described(),
                )

    search.for_all(subject.cases(), check)


def no_clobber(subject: Subject, search: Search) -> None:
    """Check that service and runtime win, that what is Hearth's own is left alone, and that what gives way is reported."""

    def check(case: Case) -> None:
        for fault in faults(subject, case):
            if fault.law is NO_CLOBBER:
                raise LawBroken(
                    fault.problem, hook=fault.hook, remedy="use a name or place of your own", given=case.described()
                )
        for difference in _changes(subject, case):
            if difference.kind == "changed":
                raise LawBroken(
                    f"the service or the runtime said otherwise: {difference}",
                    remedy="leave to users what they have said; your value is for those who say nothing",
                    given=case.described(),
                )
        _contradicted(subject, case)

    search.for_all(subject.cases(), check)


def unique_keys(subject: Subject, search: Search) -> None:
    """No name or place twice, neither in a result nor in the pod."""

    def check(case: Case) -> None:
        for fault in faults(subject, case):
            if fault.law is UNIQUE_KEYS:
                raise LawBroken(fault.problem, hook=fault.hook, remedy="return it once", given=case.described())
        plan = subject.plan(case)
        if isinstance(plan, Plan):
            for kind, names in _names(plan):
                twice = sorted({name for name in names if names.count(name) > 1})
                if twice:
                    raise LawBroken(
                        f"the pod has the {kind} {twice[0]!r} twice", remedy="return it once", given=case.described()
                    )

    search.for_all(subject.cases(), check)
    for output in subject.inventories:
        value = subject.call("hearth_local_devices", output=output).value or ()
        ids = [device.id for device in value]
        if len(set(ids)) != len(ids):
            raise LawBroken(
                f"it found the devices {', '.join(ids)}, one of them twice",
                hook="hearth_local_devices",
                remedy="an id stands for one device",
                given=repr(output),
            )


def merge_idempotence(subject: Subject, search: Search) -> None:
    """Check that a runtime which already says what the plugin adds gets the same pod."""

    def check(case: Case) -> None:
        once = subject.plan(case)
        if not isinstance(once, Plan) or not subject.steady(case):
            return
        again = replace(case, runtime=_told(case.runtime, subject.values(case)))
        twice = subject.plan(again)
        if not isinstance(twice, Plan):
            return
        for before, after in ((once, twice), (twice, once)):
            for difference in differences(_sorted(before.pod), _sorted(after.pod)):
                raise LawBroken(
                    f"a runtime that says what the plugin added before gets another pod: {difference}",
                    remedy="do not build on what the runtime says in the place that you add to; the host merges",
                    given=again.described(),
                )
        new = [note for note in twice.warnings if note not in once.warnings]
        if new:
            raise LawBroken(
                f"a runtime that says what the plugin added before gets a new warning: {new[0]}",
                remedy="do not build on what the runtime says in the place that you add to; the host merges",
                given=again.described(),
            )

    search.for_all(subject.cases("cluster"), check)


def _changes(subject: Subject, case: Case) -> Iterator[Difference]:
    """Return what the pod without the plugin has and the pod with it has not, beyond the defaults that a plugin may change."""
    base, merged = subject.plan(case, subject.bare), subject.plan(case)
    if isinstance(base, Plan) and isinstance(merged, Plan):
        adaptation = subject.values(case).get("hearth_pod", PodAdaptation())
        for difference in differences(base.pod, merged.pod):
            if not _is_default(difference, case, adaptation):
                yield difference


def _is_default(difference: Difference, case: Case, adaptation: PodAdaptation) -> bool:
    path, spec = difference.path, case.runtime.spec
    if path[:3] == _CONTAINER and len(path) > 3:
        inside = path[3:]
        if inside[0] in _PROBES:
            return getattr(spec.health, _PROBES[inside[0]]) is None
        if inside[:2] == ("resources", "limits"):
            return inside[2:] == (spec.accelerator.resource_name,)
        if inside[0] == "args":
            return str(difference.before).startswith(TENSOR_PARALLEL)
        if inside == ("volumeMounts", "/dev/shm"):  # noqa: S108 - a mount in a container
            return spec.pod.shared_memory.enabled is None and not adaptation.shared_memory
        if inside == ("securityContext", "allowPrivilegeEscalation") and difference.kind == "lost":
            return bool(adaptation.container_security.get("privileged"))
        if inside[0] == "securityContext" and difference.kind == "changed":
            return not _says(spec.pod.container_security_context, inside[1:])
    if path[:3] == ("spec", "volumes", "shm"):
        return spec.pod.shared_memory.enabled is None or spec.pod.shared_memory.size is None
    if path[:2] == ("spec", "securityContext") and difference.kind == "changed":
        return not _says(spec.pod.security_context, path[2:])
    return False


def _says(context: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    here: Any = context
    for key in path:
        if not isinstance(here, Mapping) or key not in here:
            return False
        here = here[key]
    return True


def _contradicted(subject: Subject, case: Case) -> None:
    """Let the runtime contradict everything that the plugin says; the runtime must win, and the plan must say so."""
    runtime, said = _contrary(case.runtime, subject.values(case))
    again = replace(case, runtime=runtime)
    plan = subject.plan(again)
    if not said or not isinstance(plan, Plan):
        return
    still = subject.values(again)
    env = {variable["name"]: variable.get("value") for variable in plan.serving.get("env", ())}
    pod = plan.pod
    places: Mapping[str, Mapping[str, Any]] = {
        "env": env,
        "nodeSelector": pod["spec"].get("nodeSelector", {}),
        "annotation": pod["metadata"].get("annotations", {}),
        "label": pod["metadata"]["labels"],
    }
    for kind, name, value in said:
        if places[kind].get(name) != value:
            raise LawBroken(
                f"the runtime says {kind} {name}: {value!r}, and the pod has {places[kind].get(name)!r}",
                remedy="leave to users what they have said; your value is for those who say nothing",
                given=again.described(),
            )
        if name in _added(kind, still) and not any(f"{kind} {name}:" in warning for warning in plan.warnings):
            raise LawBroken(
                f"the runtime's {kind} {name} replaces the plugin's, and no warning says so",
                remedy="report this to Hearth: the host must warn of it",
                given=again.described(),
            )


def _contrary(
    runtime: InferenceRuntime, values: Mapping[str, Any]
) -> tuple[InferenceRuntime, list[tuple[str, str, str]]]:
    wire = runtime.to_wire()
    spec = wire["spec"]
    own = {variable["name"] for variable in spec["container"]["env"]}
    said: list[tuple[str, str, str]] = []
    for kind in ("env", "nodeSelector", "annotation", "label"):
        for name, value in _added(kind, values).items():
            other = "contrary" if value != "contrary" else "other"
            if kind == "env" and name not in own:
                spec["container"]["env"].append({"name": name, "value": other})
            elif kind == "nodeSelector":
                spec["accelerator"]["nodeSelector"][name] = other
            elif kind in ("annotation", "label"):
                spec["pod"][f"{kind}s"][name] = other
            else:
                continue
            said.append((kind, name, other))
    try:
        return InferenceRuntime.model_validate(wire), said
    except ValueError:
        return runtime, []  # a name that no runtime could say is told by the law of validity


def _added(kind: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    pod = values.get("hearth_pod", PodAdaptation())
    if kind == "env":
        return {variable.name: variable.value for variable in values.get("hearth_env", ())}
    if kind == "nodeSelector":
        request = values.get("hearth_accelerator")
        return request.node_selector if request else {}
    found: Mapping[str, Any] = pod.annotations if kind == "annotation" else pod.labels
    return found


def _told(runtime: InferenceRuntime, values: Mapping[str, Any]) -> InferenceRuntime:
    """Return the runtime with the plugin's additions written into it, as far as a runtime can say them."""
    wire = runtime.to_wire()
    spec = wire["spec"]
    own = {variable["name"] for variable in spec["container"]["env"]}
    spec["container"]["env"] += [item.to_wire() for item in values.get("hearth_env", ()) if item.name not in own]
    request = values.get("hearth_accelerator")
    if request is not None:
        accelerator = spec["accelerator"]
        accelerator["nodeSelector"] = {**request.node_selector, **accelerator["nodeSelector"]}
        accelerator["tolerations"] += [item.to_wire() for item in request.tolerations]
        accelerator.setdefault("nodeRequirements", []).extend(item.to_wire() for item in request.node_requirements)
    pod: PodAdaptation | None = values.get("hearth_pod")
    if pod is not None:
        spec["pod"]["annotations"] = {**pod.annotations, **spec["pod"]["annotations"]}
        spec["pod"]["labels"] = {**pod.labels, **spec["pod"]["labels"]}
    try:
        return InferenceRuntime.model_validate(wire)
    except ValueError:
        return runtime  # additions that no runtime could say are told by the law of validity


def _sorted(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the pod without the order of lists in which order means nothing."""
    spec = dict(pod["spec"])
    spec["tolerations"] = sorted(spec.get("tolerations", ()), key=repr)
    for term in spec.get("affinity", {}).values():
        required = term["requiredDuringSchedulingIgnoredDuringExecution"]
        spec["affinity"] = sorted(required["nodeSelectorTerms"][0]["matchExpressions"], key=repr)
    return {"metadata": pod["metadata"], "spec": spec}


def _names(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    serving = plan.serving
    yield "variable", [item["name"] for item in serving.get("env", ())]
    yield "volume", [item["name"] for item in plan.pod["spec"].get("volumes", ())]
    yield "mount path", [item["mountPath"] for item in serving.get("volumeMounts", ())]
    yield "port", [item["name"] for item in serving.get("ports", ())]
