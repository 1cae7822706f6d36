"""Why a container does not run, or ended: the kubelet's words and the program's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hearth.api import format_duration
from hearth.operator.diagnosis.diagnosis import Diagnosis, Stage
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.redaction import redact
from hearth.operator.diagnosis.termination_message import TerminationMessage, read_termination_message
from hearth.operator.objects import ContainerStatus, Deployment, Terminated, Waiting
from hearth.planning import Plan

_SERVING = "serving"
_PULL_REASONS: Mapping[str, Reason] = {
    "ErrImagePull": Reason.IMAGE_PULL_BACK_OFF,
    "ImagePullBackOff": Reason.IMAGE_PULL_BACK_OFF,
    "InvalidImageName": Reason.INVALID_IMAGE_NAME,
    "ErrImageNeverPull": Reason.ERR_IMAGE_NEVER_PULL,
    "ImageInspectError": Reason.IMAGE_PULL_BACK_OFF,
    "RegistryUnavailable": Reason.IMAGE_PULL_BACK_OFF,
}
"""The kubelet's words for a failing pull. Those that take turns while it tries again are one reason."""
_CONFIG_REASONS = frozenset({"CreateContainerConfigError"})
_START_REASONS: Mapping[str, Reason] = {
    "CreateContainerError": Reason.CREATE_CONTAINER_ERROR,
    "RunContainerError": Reason.RUN_CONTAINER_ERROR,
    "PreStartHookError": Reason.RUN_CONTAINER_ERROR,
    "PostStartHookError": Reason.RUN_CONTAINER_ERROR,
}
_START_FAILURES = frozenset({"StartError", "ContainerCannotRun"})
_LOOP = 2
"""This many failures in a row are a crash loop, as in local mode."""
_AGAIN = "it is started again; "
_STABLE_SECONDS = 600.0
"""The kubelet forgets the failures of a container that ran for ten minutes."""


@dataclass(frozen=True, slots=True)
class Program:
    """What runs in a pod, as its troubles are told."""

    name: str
    """Such as `the engine`."""
    logs: str
    """The command that shows the log of the run before."""
    more_memory: str
    memory: str = ""
    """Its limit; empty when there is none."""
    pull_remedy: str = "list one that may in imagePullSecrets"
    startup: float | None = None
    """Seconds that its startup probe allows."""
    longer_start: str = ""


def engine(plan: Plan) -> Program:
    service, runtime = plan.service, plan.runtime.metadata.name
    limit = (plan.serving.get("resources") or {}).get("limits", {}).get("memory", "")
    return Program(
        name="the engine",
        logs=_log_command(f"deployment/{service.metadata.name}", service.metadata.namespace, container=_SERVING),
        more_memory="raise spec.resources.memory"
        if limit
        else "set spec.resources.memory, so that it gets a node with enough",
        memory=limit,
        pull_remedy="list it in spec.imagePullSecrets",
        startup=plan.probes.startup_seconds,
        longer_start=f"raise spec.health.startup.failureThreshold of runtime {runtime} if it only needs longer",
    )


def prewarmer(plan: Plan) -> Program:
    name, namespace = plan.service.metadata.name, plan.service.metadata.namespace
    return Program(
        name="the download",
        logs=f"kubectl logs -n {namespace} job/{name}-prewarm",
        more_memory="the download has no limit of its own: free memory on the nodes",
        pull_remedy="list it in spec.imagePullSecrets",
    )


def gateway_program(deployment: Deployment) -> Program:
    metadata = deployment.metadata
    return Program(
        name="the gateway",
        logs=_log_command(f"deployment/{metadata.name}", metadata.namespace),
        more_memory="raise gateway.resources of the Helm release",
        pull_remedy="the image is gateway.image of the Helm release; list the secret in gateway.image.pullSecrets",
    )


def _log_command(target: str, namespace: str, *, container: str = "") -> str:
    return f"kubectl logs -n {namespace} {target}{f' -c {container}' if container else ''} --previous"


def container_trouble(container: ContainerStatus, program: Program) -> Diagnosis | None:
    """Say why a container is not ready; None for one that is, or that has done its work."""
    waiting, ended, before = container.state.waiting, container.state.terminated, container.last_state.terminated
    failures = container.restart_count
    if waiting is not None:
        return _waiting(container, waiting, before, failures, program)
    if ended is not None:
        if ended.exit_code == 0 and ended.reason == "Completed" and not failures and not _restarts(container):
            return None
        return _ended(ended, failures + 1, program)
    if container.ready:
        return None
    if before is not None:
        return _ended(before, failures, program)
    if container.started:
        return None
    return Diagnosis(Reason.LOADING, _loading(program), "starting")


def _restarts(container: ContainerStatus) -> bool:
    return container.name == _SERVING


def _loading(program: Program) -> str:
    if program.startup is None:
        return f"{program.name} is starting"
    return (
        f"{program.name} loads the model; its startup probe allows {format_duration(program.startup)}, and "
        f"`{program.logs.removesuffix(' --previous')}` shows how far it is"
    )


def _waiting(
    container: ContainerStatus,
    waiting: Waiting,
    before: Terminated | None,
    failures: int,
    program: Program,
) -> Diagnosis:
    reason, message = waiting.reason, waiting.message
    if reason in _PULL_REASONS:
        return _not_pulled(container.image, reason, message, program)
    if reason in _CONFIG_REASONS:
        return Diagnosis(
            Reason.CREATE_CONTAINER_CONFIG_ERROR,
            f"{program.name} cannot be configured: {redact(message)}; create what is missing, or correct the env of "
            "the runtime",
            "broken",
            "it is not configured completely; its owner finds the reason in its status",
        )
    if reason in _START_REASONS:
        return _not_started(message or reason, program, _START_REASONS[reason])
    if reason == "CrashLoopBackOff" and before is not None:
        return _ended(before, failures + 1, program)
    if before is not None and failures:
        return _ended(before, failures, program)
    return container_creating(program)


_PULL_PREFIX = re.compile(r'^Back-off pulling image "[^"]*"(?:: )?(?:ErrImagePull: )?')
_REFERENCE = re.compile(r"^.*failed to resolve (?:image|reference) ?\"?[^\s\"]*\"?: ", re.DOTALL)
OWN_PORT = re.compile(r"(?<=\d):\d+->")
_NO_ACCESS = re.compile(
    r"\b(401|403)\b|unauthorized|denied|authorization failed|authentication required", re.IGNORECASE
)
_UNREACHABLE = re.compile(r"no such host|dial tcp|i/o timeout|connection refused|TLS handshake", re.IGNORECASE)


def _not_pulled(image: str, reason: str, message: str, program: Program) -> Diagnosis:
    word = _PULL_REASONS[reason]
    words = _REFERENCE.sub("", _PULL_PREFIX.sub("", message))
    words = redact(OWN_PORT.sub("->", words).removeprefix(f"{image}: ")) or reason
    if word is Reason.INVALID_IMAGE_NAME:
        remedy = "correct spec.container.image of the runtime"
    elif word is Reason.ERR_IMAGE_NEVER_PULL:
        remedy = "load the image onto the node, or let the cluster pull it"
    elif _NO_ACCESS.search(words):
        remedy = f"its registry wants a pull secret: {program.pull_remedy}"
    elif _UNREACHABLE.search(words):
        remedy = "the nodes cannot reach its registry: check their DNS and proxy, or mirror the image"
    else:
        remedy = f"check its name and tag; a private image also looks like this without a pull secret ({program.pull_remedy})"
    return Diagnosis(
        word,
        f"the image {redact(image)} of {program.name} cannot be pulled: {words}; {remedy}",
        "broken",
        "its container image cannot be pulled",
    )


_RUNTIME_PREFIX = re.compile(
    r"^.*(?:OCI runtime create failed|runc create failed|unable to start container process): ", re.DOTALL
)


def _not_started(message: str, program: Program, reason: Reason = Reason.RUN_CONTAINER_ERROR) -> Diagnosis:
    words = redact(_RUNTIME_PREFIX.sub("", message))
    return Diagnosis(
        reason,
        f"{program.name} cannot be started: {words}; check command, args and mounts of the runtime against its image",
        "broken",
        "it cannot be started; its owner finds the reason in its status",
    )


def _ended(ended: Terminated, failures: int, program: Program) -> Diagnosis:
    """Say why a container ended; `failures` counts the ends in a row, as far as is known."""
    ran = seconds_between(ended.started_at, ended.finished_at)
    slow = _outlasted_startup(ended, ran, program)
    if ran is not None and ran >= _STABLE_SECONDS and not slow:
        failures = 1
    looping = failures >= _LOOP
    stage: Stage = "broken" if looping else "starting"
    notice = "the engine keeps ending; its owner finds the reason in its status" if looping else None
    if ended.reason == "OOMKilled":
        limit = f" at its memory limit of {program.memory}" if program.memory else ""
        return Diagnosis(
            Reason.OOM_KILLED,
            f"{program.name} was killed for memory{limit}; {program.more_memory}",
            stage,
            "it runs out of memory and is started again" if looping else None,
        )
    if ended.reason in _START_FAILURES:
        return _not_started(ended.message or ended.reason, program)
    words = read_termination_message(ended.message)
    if slow:
        return Diagnosis(
            Reason.STARTUP_TIMEOUT,
            f"{program.name} did not answer its startup probe within {format_duration(program.startup or 0)} and was "
            f"ended{_quoted(words)}; {program.longer_start}, or see `{program.logs}`",
            stage,
            "it does not finish starting in time and is started again" if looping else None,
        )
    how = f"{program.name} {'keeps ending' if looping else 'ended'} {_exit(ended)}"
    if words.reason is not None:
        return Diagnosis(words.reason, f"{how}: {words.line}; {words.remedy}", stage, notice)
    where = f"its log says why: `{program.logs}`" if words.elsewhere or not words.line else f"see `{program.logs}`"
    return Diagnosis(
        Reason.CRASH_LOOP_BACK_OFF if looping else Reason.RESTARTING,
        f"{how}{_quoted(words)}; {'' if looping else _AGAIN}{where}",
        stage,
        notice,
    )


def ended_words(ended: Terminated, program: Program) -> str:
    """Say why a container ended that is not started again."""
    return _ended(ended, 1, program).message.replace(_AGAIN, "")


def _quoted(words: TerminationMessage) -> str:
    return f": {words.line}" if words.line else ""


def _exit(ended: Terminated) -> str:
    code = ended.exit_code
    if code > 128:
        return {137: "by SIGKILL", 139: "by a segmentation fault", 143: "by SIGTERM"}.get(
            code, f"by signal {code - 128}"
        )
    return f"with exit code {code}"


def _outlasted_startup(ended: Terminated, ran: float | None, program: Program) -> bool:
    """A container that the kubelet ended because of its startup probe does not say so. It ran for as long as the probe
    allows, give or take the period of a check and the time to end, and was ended by a signal."""
    if program.startup is None or ran is None or ended.reason == "OOMKilled":
        return False
    killed = ended.exit_code in (0, 137, 143) or ended.signal in (9, 15)
    return killed and program.startup * 0.9 <= ran <= program.startup * 1.5 + 60


def seconds_between(start: str, end: str) -> float | None:
    """Return the seconds from one time to another; None when either is missing."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None


def container_creating(program: Program) -> Diagnosis:
    return Diagnosis(
        Reason.CONTAINER_CREATING,
        f"the container of {program.name} is being created (its image is pulled, its volumes are mounted); if that "
        "lasts, `kubectl describe pod` shows what it waits for",
        "waiting",
    )
