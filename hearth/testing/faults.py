"""Faults in the results of hooks, before anything is merged.

Every fault belongs to exactly one law, so that a plugin with one fault breaks one law.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hearth.api import Probe
from hearth.api.names import LABEL, LABEL_VALUE, SUBDOMAIN, is_qualified
from hearth.planning.adaptation import RESERVED_PATHS
from hearth.planning.labels import RESERVED_LABELS, RESERVED_PREFIX, selector_labels
from hearth.plugins import AcceleratorRequest, LocalLaunch, MetricsEndpoint, PodAdaptation, ProbeSet
from hearth.plugins.validation import checked
from hearth.testing.case import Case
from hearth.testing.law import NO_CLOBBER, SELECTOR_LABELS, UNIQUE_KEYS, VALIDITY, Law
from hearth.testing.subject import RESULTS, Outcome, Subject, well_formed

_OWN_VOLUME = re.compile(r"cache|model|shm|host-[0-9]+")
_VOLUME_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MEANINGS = ("queueDepth", "kvCacheUtil", "running", "ttft")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one hook's result: the law that it breaks, and what is wrong."""

    law: Law
    hook: str
    problem: str


def faults(subject: Subject, case: Case) -> Iterator[Fault]:
    """Yield what is wrong with the results of the hooks for a case."""
    for hook, outcome in subject.results(case).items():
        problem = malformed(hook, outcome)
        if problem:
            yield Fault(VALIDITY, hook, problem)
            continue
        value = well_formed(hook, outcome)
        if value is not None and hook in _CHECKS:
            for law, text in _CHECKS[hook](value, case):
                yield Fault(law, hook, text)


def malformed(hook: str, outcome: Outcome) -> str:
    """Say what the host finds wrong with the shape of a result; nothing when it is well-formed or is no result."""
    if outcome.kind != "value" or outcome.value is None:
        return ""
    try:
        checked(RESULTS[hook], outcome.value)
    except ValidationError as exc:
        first = exc.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"the result {_short(outcome.value)} is not valid: {place + ': ' if place else ''}{first['msg']}"
    return ""


def _accelerator(request: AcceleratorRequest, case: Case) -> Iterator[tuple[Law, str]]:
    for name in request.resources:
        if "/" not in name or not is_qualified(name):
            yield (
                VALIDITY,
                f"resources has {name!r}, which is not the name of an extended resource such as acme.dev/chip",
            )
    yield from _labels("node_selector", request.node_selector)
    if request.queue is not None and request.scheduler_name != "volcano":
        scheduler = request.scheduler_name or case.runtime.spec.accelerator.scheduler.name
        if scheduler != "volcano":
            yield VALIDITY, f"queue is {request.queue!r}, and the scheduler {scheduler!r} has no queues"
    yield from _texts(scheduler_name=request.scheduler_name, queue=request.queue)


def _env(variables: Iterable[Any], case: Case) -> Iterator[tuple[Law, str]]:
    del case
    for name in _twice(variable.name for variable in variables):
        yield UNIQUE_KEYS, f"the variable {name!r} is returned twice"


def _probes(probes: ProbeSet, case: Case) -> Iterator[tuple[Law, str]]:
    own = case.runtime.spec.container.port.name
    for kind in ("startup", "readiness", "liveness"):
        probe: Probe | None = getattr(probes, kind)
        action = probe and (probe.http_get or probe.tcp_socket)
        if action and isinstance(action.port, str) and action.port != own:
            yield VALIDITY, f"{kind} asks port {action.port!r}, and the container's only port is called {own!r}"


def _metrics(endpoint: MetricsEndpoint, case: Case) -> Iterator[tuple[Law, str]]:
    own = case.runtime.spec.container.port.name
    if endpoint.port and not endpoint.port.isdigit() and endpoint.port != own:
        yield VALIDITY, f"port is {endpoint.port!r}, and the container's only port is called {own!r}"
    for meaning in endpoint.names:
        if meaning not in _MEANINGS:
            yield VALIDITY, f"names has {meaning!r}, which is none of {', '.join(_MEANINGS)}"


def _pod(pod: PodAdaptation, case: Case) -> Iterator[tuple[Law, str]]:
    yield from _keys("label", pod.labels, case)
    yield from _keys("annotation", pod.annotations, case)
    yield from _labels("labels", pod.labels)
    for key in pod.annotations:
        if not is_qualified(key):
            yield VALIDITY, f"annotations has {key!r}, which is not the key of an annotation"
    yield from _volumes(pod)
    yield from _paths(pod)
    for name in _twice(variable.name for variable in pod.no_device_env):
        yield UNIQUE_KEYS, f"no_device_env has {name!r} twice"
    for name in pod.extra_limits:
        if not is_qualified(name) or name in ("cpu", "memory"):
            yield VALIDITY, f"extra_limits has {name!r}, which is not a resource that a vendor may limit"
    if pod.runtime_class_name is not None and not re.fullmatch(SUBDOMAIN, pod.runtime_class_name):
        yield VALIDITY, f"runtime_class_name {pod.runtime_class_name!r} is not the name of a RuntimeClass"
    yield from _texts(scheduler_name=pod.scheduler_name)


def _keys(kind: str, keys: Iterable[str], case: Case) -> Iterator[tuple[Law, str]]:
    for key in keys:
        if key in selector_labels(case.service):
            yield SELECTOR_LABELS, f"the {kind} {key!r} is in the selector of the Deployment, which can never change"
        elif key in RESERVED_LABELS or key.startswith(RESERVED_PREFIX):
            yield NO_CLOBBER, f"the {kind} {key!r} is Hearth's own"


def _volumes(pod: PodAdaptation) -> Iterator[tuple[Law, str]]:
    names = [volume.get("name") for volume in pod.volumes]
    for name in names:
        if not isinstance(name, str) or not _VOLUME_NAME.fullmatch(name):
            yield VALIDITY, f"a volume is called {name!r}, which is not a DNS label"
        elif _OWN_VOLUME.fullmatch(name):
            yield NO_CLOBBER, f"the volume name {name!r} is Hearth's own"
    for name in _twice(str(name) for name in names):
        yield UNIQUE_KEYS, f"there are two volumes {name!r}"
    for mount in pod.mounts:
        if mount.get("name") not in names:
            yield (
                VALIDITY,
                f"the mount at {mount.get('mountPath')!r} names the volume {mount.get('name')!r}, which it lacks",
            )


def _paths(pod: PodAdaptation) -> Iterator[tuple[Law, str]]:
    paths = [mount.mount_path or mount.host_path for mount in pod.host_mounts]
    paths += [str(mount.get("mountPath", "")) for mount in pod.mounts]
    for path in paths:
        if not path.startswith("/"):
            yield VALIDITY, f"the mount path {path!r} is not absolute"
        elif any(path == own or path.startswith(f"{own}/") for own in RESERVED_PATHS):
            yield NO_CLOBBER, f"the mount path {path!r} is Hearth's own"
    for path in _twice(paths):
        yield UNIQUE_KEYS, f"the mount path {path!r} is there twice"


def _launch(launch: LocalLaunch, case: Case) -> Iterator[tuple[Law, str]]:
    del case
    for name in launch.env:
        if not name or "=" in name or "\0" in name:
            yield VALIDITY, f"env has {name!r}, which is not the name of a variable"
    if launch.cwd is not None and not launch.cwd.startswith("/"):
        yield VALIDITY, f"cwd {launch.cwd!r} is not absolute"


def _labels(field: str, labels: Mapping[str, str]) -> Iterator[tuple[Law, str]]:
    for key, value in labels.items():
        if not is_qualified(key):
            yield VALIDITY, f"{field} has {key!r}, which is not the key of a label"
        if len(value) > 63 or not re.fullmatch(LABEL_VALUE, value):
            yield VALIDITY, f"{field} has {key!r}: {value!r}, which is not the value of a label"


def _texts(**fields: str | None) -> Iterator[tuple[Law, str]]:
    for field, text in fields.items():
        if text is not None and not re.fullmatch(f"{LABEL}|{SUBDOMAIN}", text):
            yield VALIDITY, f"{field} is {text!r}, which is not a name"


def _twice(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


_CHECKS: Mapping[str, Callable[[Any, Case], Iterator[tuple[Law, str]]]] = {
    "hearth_accelerator": _accelerator,
    "hearth_env": _env,
    "hearth_probes": _probes,
    "hearth_metrics": _metrics,
    "hearth_pod": _pod,
    "hearth_local_command": _launch,
}
