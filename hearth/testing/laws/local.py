"""Local launch: on one machine a process sees its own devices and no others (law 15)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NoReturn

from hearth.api import HearthError
from hearth.planning import Launch, Plan
from hearth.planning import local_launch as plan_launch
from hearth.plugins import Device, LocalLaunch
from hearth.testing.case import Case
from hearth.testing.law import LawBroken
from hearth.testing.search import Search
from hearth.testing.subject import Subject, well_formed

_COMMAND = "hearth_local_command"
_DEVICES = "hearth_local_devices"


def local_launch(subject: Subject, search: Search) -> None:
    """Check that the visible-devices variable is the devices, disjoint for disjoint devices, and that argv is a command."""
    if "local" not in subject.info.capabilities:
        return
    _inventories(subject)

    def check(case: Case) -> None:
        value = well_formed(_COMMAND, subject.call(_COMMAND, ctx=case.context, devices=case.devices))
        if value is None:
            return
        if not value.argv or not all(value.argv):
            _broken(case, f"argv is {value.argv!r}", "argv is the command in place of the image's entrypoint")
        visible = set(_visible(value, case.devices))
        if not visible:
            _broken(
                case,
                f"no variable of env is {','.join(case.devices)!r} for the devices {', '.join(case.devices)}",
                "set your visible-devices variable to ','.join(devices), in their order",
            )
        _disjoint(subject, case, value, visible)
        _launched(subject, case, value, visible)

    search.for_all(subject.cases("local"), check)


def _disjoint(subject: Subject, case: Case, value: LocalLaunch, visible: set[str]) -> None:
    others = tuple(device for device in subject.device_ids if device not in case.devices)
    if not others:
        return
    other = well_formed(_COMMAND, subject.call(_COMMAND, ctx=case.context, devices=others))
    if other is None:
        return
    for name in sorted(visible):
        shared = set(_ids(value.env[name])) & set(_ids(other.env.get(name, value.env[name])))
        if shared:
            _broken(
                case,
                f"{name} has {', '.join(sorted(shared))} for the devices {', '.join(case.devices)} and for "
                f"{', '.join(others)}",
                "set it from the argument `devices` alone",
            )


def _launched(subject: Subject, case: Case, value: LocalLaunch, visible: set[str]) -> None:
    """Check what the host makes of it: the command, the runtime's arguments, and still the same devices."""
    plan = subject.plan(case)
    if not isinstance(plan, Plan):
        return
    launch = _attempt(subject, plan, case.devices)
    if launch is None:
        return
    if case.runtime.spec.local is None and launch.argv[: len(value.argv)] != value.argv:
        _broken(case, f"the process is {launch.argv!r}", "report this to Hearth: argv must come first")
    for name in sorted(visible):
        if launch.env.get(name) != value.env[name] and case.runtime.spec.local is None:
            _broken(case, f"the process gets {name}={launch.env.get(name)!r}", "report this to Hearth")


def _attempt(subject: Subject, plan: Plan, devices: Sequence[str]) -> Launch | None:
    try:
        return plan_launch(plan, host=subject.host, devices=devices, port=8000)
    except HearthError:
        return None


def _inventories(subject: Subject) -> None:
    """Check that the recorded outputs of an author are understood, and that engines can be launched on their devices."""
    for output in subject.inventories:
        outcome = subject.call(_DEVICES, output=output)
        found: Sequence[Device] = well_formed(_DEVICES, outcome) or ()
        if not found:
            raise LawBroken(
                f"no device is found in the output that the test gives: {outcome.error or outcome.value!r}",
                hook=_DEVICES,
                remedy="parse it, or correct the `inventories` of the test",
                given=repr(output),
            )


def _visible(launch: LocalLaunch, devices: Sequence[str]) -> Iterator[str]:
    for name, value in launch.env.items():
        if _ids(value) == list(devices):
            yield name


def _ids(value: str) -> list[str]:
    return re.split(r"[,;:\s]+", value)


def _broken(case: Case, problem: str, remedy: str) -> NoReturn:
    raise LawBroken(problem, hook=_COMMAND, remedy=remedy, given=replace(case, target="local").described())
