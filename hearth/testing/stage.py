"""Stage of a rehearsal: a process that calls every hook on a fixed set of inputs, under guard, and prints what happened.

Hearth is imported after the guard is installed, which must see what the hooks use of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hearth.testing.case import Case
    from hearth.testing.guard import Guard
    from hearth.testing.subject import Subject

_SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"resources": {"accelerators": 2, "cpu": "4", "memory": "24Gi"}},
    {"resources": {"fraction": {"memory": "16Gi", "cores": 30}}},
    {"model": {"source": {"uri": "modelscope://acme/tiny"}}, "runtime": {"argsOverride": ["--seed=0"]}},
)


def main() -> None:
    """Call every hook on every input, under guard, and print what happened as JSON."""
    from hearth.testing.guard import Guard

    guard = Guard()
    guard.install()
    parser = argparse.ArgumentParser()
    parser.add_argument("vendor")
    parser.add_argument("timeout", type=float)
    parser.add_argument("--reference")
    parser.add_argument("--device", nargs="*")
    options = parser.parse_args()

    from hearth.testing.subject import Subject

    subject = Subject.load(
        options.vendor,
        reference=options.reference or None,
        device_ids=options.device,
        hook_timeout=options.timeout,
    )
    _warm_up()
    inputs = list(_cases(subject))
    accesses = list(_watch(subject, guard, inputs))
    rendered = "".join(_render(subject, case) for case in inputs)
    sys.stdout.write(json.dumps({"rendered": rendered, "accesses": accesses}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a hook that hangs must not keep the process


def _cases(subject: Subject) -> Iterator[Case]:
    from hearth.api import InferenceRuntime, LLMService
    from hearth.testing.case import Case
    from hearth.testing.strategies import small_runtime

    for runtime in subject.runtimes or (InferenceRuntime.model_validate(small_runtime(subject.vendor)),):
        for target in subject.targets:
            for spec in _SPECS:
                named = {"name": runtime.metadata.name, **spec.get("runtime", {})}
                whole = {"model": {"source": {"uri": "hf://acme/tiny"}}, **spec, "runtime": named}
                service = LLMService.model_validate({"metadata": {"name": "tiny", "namespace": "ai"}, "spec": whole})
                yield Case(service, runtime, target, subject.device_ids[:2])


def _warm_up() -> None:
    """Build every model once: pydantic looks for its own plugins, on disk, when it builds one."""
    from pydantic import TypeAdapter

    from hearth.api.base import Model
    from hearth.testing.subject import RESULTS

    for kind in RESULTS.values():
        TypeAdapter(kind).json_schema()
    models = [Model]
    for model in models:
        model.model_rebuild()
        models += model.__subclasses__()


def _watch(subject: Subject, guard: Guard, inputs: Sequence[Case]) -> Iterator[tuple[str, str]]:
    from hearth.plugins import InventoryOutput

    output = InventoryOutput(stdout="0, Chip, 16384 MiB\n")
    calls = [(hook, None, call) for case in inputs for hook, call in subject.calls(case).items()]
    package = _package(subject.loaded.plugin)
    watched: list[tuple[str, Path | None, Any]] = [
        ("hearth_vendor", None, lambda: subject.call("hearth_vendor")),
        ("hearth_runtimes", package, lambda: subject.call("hearth_runtimes")),
        ("hearth_local_inventory", None, lambda: subject.call("hearth_local_inventory")),
        ("hearth_local_devices", None, lambda: subject.call("hearth_local_devices", output=output)),
        *calls,
    ]
    found: dict[tuple[str, str], None] = {}
    for hook, readable, call in watched:
        with guard.watching(readable=readable) as accesses:
            call()
        found |= dict.fromkeys((hook, access) for access in accesses)
    yield from found


def _package(plugin: object) -> Path | None:
    """Return the directory of the plugin's package, whose runtimes `hearth_runtimes` may list."""
    name = getattr(plugin, "__name__", None) or type(plugin).__module__
    file = getattr(sys.modules.get(str(name).partition(".")[0]), "__file__", None)
    return Path(file).parent if file else None


def _render(subject: Subject, case: Case) -> str:
    """Return what a user would see of a case. Keys stay in the order in which they were made, for that is what may vary."""
    import yaml

    from hearth.api import HearthError
    from hearth.planning import Plan, local_launch

    plan = subject.plan(case)
    if plan is None:
        return "--- a hook hangs\n"
    if not isinstance(plan, Plan):
        return f"--- refused: {plan}\n"
    made: list[Any] = [*plan.objects, dict(plan.pod), {"warnings": list(plan.warnings)}]
    if case.target == "local":
        try:
            launch = local_launch(plan, host=subject.host, devices=case.devices, port=8000)
        except HearthError as refusal:
            return f"--- refused: {refusal}\n"
        made.append({"argv": list(launch.argv), "env": dict(launch.env)})
    return yaml.safe_dump_all(made, sort_keys=False, explicit_start=True)
