"""Containers: why one does not run, or exited, in the kubelet's words and its program's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hearth.api import format_duration
from hearth.operator.diagnosis.diagnosis import LOOP, SEE_STATUS, Diagnosis, Stage
from hearth.operator.diagnosis.images import PULL_REASONS, not_pulled
from hearth.operator.diagnosis.program import Program
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact
from hearth.operator.diagnosis.termination_message import TerminationMessage, read_termination_message
from hearth.operator.objects import ContainerStatus, Terminated, Waiting
from hearth.planning.pod import SERVING

_START_REASONS: Mapping[str, Reason] = {
    "CreateContainerError": Reason.CREATE_CONTAINER_ERROR,
    "RunContainerError": Reason.RUN_CONTAINER_ERROR,
    "PreStartHookError": Reason.RUN_CONTAINER_ERROR,
    "PostStartHookError": Reason.RUN_CONTAINER_ERROR,
}
_START_FAILURES = frozenset({"StartError", "ContainerCannotRun"})
_STABLE = 600.0
"""Seconds after which the kubelet forgets the failures of a container that kept running."""

_RUNTIME_PREFIX = re.compile(
    r"^.*(?:OCI runtime create failed|runc create failed|unable to start container process): ", re.DOTALL
)


def container_trouble(container: ContainerStatus, program: Program) -> Diagnosis | None:
    """Say why a container is not ready; None for one that is, or that has done its work."""
    waiting, ended, before = container.state.waiting, container.state.terminated, container.last_state.terminated
    failures = container.restart_count
    if waiting is not None:
        return _waiting(container, waiting, before, program)
    if ended is not None:
        done = ended.exit_code == 0 and ended.reason == "Completed" and not failures and container.name != SERVING
        return None if done else _exited(ended, failures + 1, program)
    if container.ready:
        return None
    if before is not None:
        return _exited(before, failures, program)
    if container.started:
        return None
    return Diagnosis(Reason.LOADING, _loading(program), "starting")


def container_creating(program: Program) -> Diagnosis:
    """Say that a container is being created."""
    return Diagnosis(
        Reason.CONTAINER_CREATING,
        f"the container of {program.name} is being created (image pull, volume mounts); if that lasts, "
        "`kubectl describe pod` shows what it waits for",
        "waiting",
    )


def last_exit(ended: Terminated, program: Program) -> str:
    """Say why a container exited that is not restarted."""
    return _exited(ended, 1, program, restarted=False).message


def seconds_between(start: str, end: str) -> float | None:
    """Return the seconds from one time to another; None when either is missing."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None


def _loading(program: Program) -> str:
    if program.startup is None:
        return f"{program.name} is starting"
    return (
        f"{program.name} is loading the model; its startup probe allows {format_duration(program.startup)}, and "
        f"`{program.logs()}` shows the progress"
    )


def _waiting(container: ContainerStatus, waiting: Waiting, before: Terminated | None, program: Program) -> Diagnosis:
    reason, failures = waiting.reason, container.restart_count
    if reason in PULL_REASONS:
        return not_pulled(container.image, reason, waiting.message, program)
    if reason == "CreateContainerConfigError":
        return Diagnosis(
            Reason.CREATE_CONTAINER_CONFIG_ERROR,
            f"the container of {program.name} cannot be configured: {redact(waiting.message)}; create what is missing, or "
            "correct the env of the runtime",
            "broken",
            f"the container configuration is incomplete; {SEE_STATUS}",
        )
    if reason in _START_REASONS:
        return _not_started(_START_REASONS[reason], waiting.message or reason, program)
    if reason == "CrashLoopBackOff" and before is not None:
        return _exited(before, failures + 1, program)
    if before is not None and failures:
        return _exited(before, failures, program)
    return container_creating(program)


def _not_started(reason: Reason, message: str, program: Program) -> Diagnosis:
    words = redact(_RUNTIME_PREFIX.sub("", message))
    return Diagnosis(
        reason,
        f"the container of {program.name} cannot be started: {words}; check command, args and mounts of the runtime "
        "against its image",
        "broken",
        f"the container cannot be started; {SEE_STATUS}",
    )


@dataclass(frozen=True, slots=True)
class _Exit:
    """The end of a container, and what is known about it."""

    ended: Terminated
    program: Program
    looping: bool
    """It failed several times in a row."""
    restarted: bool
    """The kubelet starts it again."""

    @property
    def stage(self) -> Stage:
        return "broken" if self.looping else "starting"

    def notice(self, text: str) -> str | None:
        """Return a notice for waiting clients, who need none before it is a loop."""
        return text if self.looping else None

    @property
    def summary(self) -> str:
        """How the program exited."""
        code = self.ended.exit_code
        verb = "exited" if not self.looping else "keeps crashing" if code else "keeps exiting"
        return f"{self.program.name} {verb} ({_exit_code(code)})"


def _exited(ended: Terminated, failures: int, program: Program, *, restarted: bool = True) -> Diagnosis:
    """Say why a container exited; `failures` counts the exits in a row, as far as is known."""
    ran = seconds_between(ended.started_at, ended.finished_at)
    slow = _outlasted_startup(ended, ran, program)
    stable = ran is not None and ran >= _STABLE and not slow
    end = _Exit(ended, program, looping=failures >= LOOP and not stable, restarted=restarted)
    if ended.reason == "OOMKilled":
        return _out_of_memory(end)
    if ended.reason in _START_FAILURES:
        return _not_started(Reason.RUN_CONTAINER_ERROR, ended.message or ended.reason, program)
    words = read_termination_message(ended.message)
    return _too_slow(end, words) if slow else _crashed(end, words)


def _out_of_memory(end: _Exit) -> Diagnosis:
    program = end.program
    limit = f" (memory limit {program.memory})" if program.memory else ""
    return Diagnosis(
        Reason.OOM_KILLED,
        f"{program.name} was OOM-killed{limit}; {program.more_memory}",
        end.stage,
        end.notice("the engine runs out of memory and is restarted"),
    )


def _too_slow(end: _Exit, words: TerminationMessage) -> Diagnosis:
    program = end.program
    return Diagnosis(
        Reason.STARTUP_TIMEOUT,
        f"{program.name} did not pass its startup probe within {format_duration(program.startup or 0)} and was "
        f"killed{_quoted(words)}; {program.longer_start}, or see `{program.logs(previous=True)}`",
        end.stage,
        end.notice("the engine does not start in time and is restarted"),
    )


def _crashed(end: _Exit, words: TerminationMessage) -> Diagnosis:
    notice = end.notice(f"the engine keeps crashing; {SEE_STATUS}")
    if words.reason is not None:
        return Diagnosis(words.reason, f"{end.summary}: {words.line}; {words.remedy}", end.stage, notice)
    again = "it is being restarted; " if end.restarted and not end.looping else ""
    where = "its log has the cause:" if words.elsewhere or not words.line else "see"
    return Diagnosis(
        Reason.CRASH_LOOP_BACK_OFF if end.looping else Reason.RESTARTING,
        f"{end.summary}{_quoted(words)}; {again}{where} `{end.program.logs(previous=True)}`",
        end.stage,
        notice,
    )


def _quoted(words: TerminationMessage) -> str:
    return f": {words.line}" if words.line else ""


def _exit_code(code: int) -> str:
    if code > 128:
        return {137: "SIGKILL", 139: "segmentation fault", 143: "SIGTERM"}.get(code, f"signal {code - 128}")
    return f"exit code {code}"


def _outlasted_startup(ended: Terminated, ran: float | None, program: Program) -> bool:
    """Return whether the startup probe is why the kubelet killed a container, which its state does not say.

    It ran for as long as the probe allows, give or take the period of a check and the grace period, and was ended by a
    signal.
    """
    if program.startup is None or ran is None or ended.reason == "OOMKilled":
        return False
    killed = ended.exit_code in (0, 137, 143) or ended.signal in (9, 15)
    return killed and program.startup * 0.9 <= ran <= program.startup * 1.5 + 60
