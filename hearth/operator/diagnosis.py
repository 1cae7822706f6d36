"""What keeps a service from answering, or from answering more: one sentence with the cause and what to do about it.

Kubernetes scatters it over pods, Jobs, Deployments, nodes and KEDA's objects. Nothing here may depend on the time or on
what changes without meaning anything (names of pods, back-off times, counts of restarts): the same trouble has the same
words, so that a status is written once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from hearth.api import format_duration
from hearth.api.errors import join_remedy
from hearth.operator.lastwords import LastWords, fit_to_show, last_words
from hearth.operator.observation import Object, Observed
from hearth.operator.reasons import Reason
from hearth.operator.scheduling import Demand, insufficient, scheduler_words, supply
from hearth.planning import Plan, startup_seconds

Stage = Literal["starting", "waiting", "broken"]
"""starting: it will be ready if nothing happens; waiting: for something else; broken: somebody has to act."""

_SERVING = "serving"
_PULL_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
_CONFIG_REASONS = frozenset({"CreateContainerConfigError"})
_START_REASONS = frozenset({"CreateContainerError", "RunContainerError", "PreStartHookError", "PostStartHookError"})
_START_FAILURES = frozenset({"StartError", "ContainerCannotRun"})
_LOOP = 2
"""This many failures in a row are a crash loop, as in local mode."""
_STABLE_SECONDS = 600.0
"""The kubelet forgets the failures of a container that ran for ten minutes."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that is not as wanted. `message` is for the owner of the service. `notice` is for a client that waits,
    who may be anybody: it names no node, pod, image or other service; None where waiting is all there is to say."""

    reason: Reason
    message: str
    stage: Stage
    notice: str | None = None


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
        startup=startup_seconds(plan),
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


def gateway_program(deployment: Object) -> Program:
    metadata = deployment.get("metadata", {})
    return Program(
        name="the gateway",
        logs=_log_command(f"deployment/{metadata.get('name', '')}", metadata.get("namespace", "")),
        more_memory="raise gateway.resources of the Helm release",
        pull_remedy="the image is gateway.image of the Helm release; list the secret in spec.imagePullSecrets",
    )


def _log_command(target: str, namespace: str, *, container: str = "") -> str:
    return f"kubectl logs -n {namespace} {target}{f' -c {container}' if container else ''} --previous"


# --- replicas -----------------------------------------------------------------------------------------------------------


def is_ending(pod: Object) -> bool:
    return bool(pod.get("metadata", {}).get("deletionTimestamp"))


def is_ready(pod: Object) -> bool:
    """Ready, and not on its way out."""
    return not is_ending(pod) and _condition(pod, "Ready").get("status") == "True"


def wanted_replicas(deployment: Object | None) -> int:
    """What the Deployment is told to have; Kubernetes' own default is one."""
    if deployment is None:
        return 0
    replicas = (deployment.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def replica_troubles(observed: Observed) -> tuple[Diagnosis, ...]:
    """Say what each replica that is wanted and not ready waits for; each thing once, the worst first."""
    plan = observed.plan
    if plan is None:
        return ()
    program = engine(plan)
    staying = [pod for pod in observed.pods if not is_ending(pod) and not is_ready(pod)]
    alive = [pod for pod in staying if pod.get("status", {}).get("phase") not in ("Failed", "Succeeded")]
    found = [pod_trouble(pod, program, observed) for pod in alive]
    ready = sum(1 for pod in observed.pods if is_ready(pod))
    if len(alive) + ready < wanted_replicas(observed.deployment):
        refusal = _refused_pods(observed.deployment)
        if refusal is not None:
            found.append(refusal)
        elif not alive:
            over = [pod for pod in staying if pod not in alive]
            found.append(pod_trouble(over[-1], program, observed) if over else _creating(observed))
    return tuple(sorted(dict.fromkeys(found), key=_rank))


def _rank(trouble: Diagnosis) -> tuple[int, str, str]:
    return ("broken", "waiting", "starting").index(trouble.stage), trouble.reason, trouble.message


def _creating(observed: Observed) -> Diagnosis:
    if any(is_ending(pod) for pod in observed.pods):
        return Diagnosis(Reason.CREATING, "its pod is created when the one before it has ended", "waiting")
    return Diagnosis(Reason.CREATING, "its pod is being created", "waiting")


def _refused_pods(deployment: Object | None) -> Diagnosis | None:
    condition = _condition(deployment or {}, "ReplicaFailure")
    if condition.get("status") != "True":
        return None
    # The pod's name is another one at each attempt.
    words = re.sub(r'^.*?pods? "[^"]*" is forbidden: ', "", condition.get("message", ""))
    remedy = "change what refuses it (kubectl describe quota, limitrange, namespace), or what the service asks for"
    if "PodSecurity" in words:
        remedy = (
            "the namespace enforces a Pod Security level that the runtime's pod does not meet: serve the model from a "
            "namespace that allows it"
        )
    return Diagnosis(
        Reason.PODS_REFUSED,
        join_remedy(f"the cluster refuses to create its pods: {fit_to_show(words)}", remedy),
        "broken",
        "the cluster refuses to start it; its owner finds the reason in its status",
    )


def pod_trouble(pod: Object, program: Program, observed: Observed) -> Diagnosis:
    """Say what a pod that is not ready waits for."""
    status = pod.get("status") or {}
    if status.get("phase") == "Failed" and status.get("reason"):
        return _evicted(status, program)
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _unscheduled(scheduled, observed)
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    troubles = [found for container in containers if (found := container_trouble(container, program)) is not None]
    if troubles:
        return min(troubles, key=_rank)
    if scheduled.get("status") != "True" and not pod.get("spec", {}).get("nodeName"):
        return Diagnosis(Reason.SCHEDULING, "a node is being found for its pod", "waiting")
    if not containers:
        return _container_creating(program)
    return Diagnosis(
        Reason.NOT_ANSWERING,
        f"{program.name} runs and its readiness probe is not answered; if that lasts: "
        f"{program.logs.removesuffix(' --previous')}",
        "starting",
    )


def _evicted(status: Mapping[str, Any], program: Program) -> Diagnosis:
    words = fit_to_show(f"{status['reason']}: {status.get('message', '')}".rstrip(": "))
    return Diagnosis(
        Reason.EVICTED,
        f"the pod of {program.name} was ended by its node ({words}); free what the node ran short of",
        "broken",
        "its node ended it; it is started again",
    )


def _container_creating(program: Program) -> Diagnosis:
    return Diagnosis(
        Reason.CONTAINER_CREATING,
        f"the container of {program.name} is being created (its image is pulled, its volumes are mounted); if that "
        "lasts, `kubectl describe pod` shows what it waits for",
        "waiting",
    )


# --- containers ---------------------------------------------------------------------------------------------------------


def container_trouble(container: Mapping[str, Any], program: Program) -> Diagnosis | None:
    """Say why a container is not ready; None for one that is, or that has done its work."""
    state = container.get("state") or {}
    before = (container.get("lastState") or {}).get("terminated")
    failures = int(container.get("restartCount") or 0)
    if "waiting" in state:
        return _waiting(container, state["waiting"], before, failures, program)
    if "terminated" in state:
        ended = state["terminated"]
        if (
            ended.get("exitCode") == 0
            and ended.get("reason") == "Completed"
            and not failures
            and not _restarts(container)
        ):
            return None
        return _ended(ended, failures + 1, program)
    if container.get("ready"):
        return None
    if before is not None:
        return _ended(before, failures, program)
    if container.get("started"):
        return None
    return Diagnosis(Reason.LOADING, _loading(program), "starting")


def _restarts(container: Mapping[str, Any]) -> bool:
    return container.get("name") == _SERVING


def _loading(program: Program) -> str:
    if program.startup is None:
        return f"{program.name} is starting"
    return (
        f"{program.name} loads the model; its startup probe allows {format_duration(program.startup)}, and "
        f"`{program.logs.removesuffix(' --previous')}` shows how far it is"
    )


def _waiting(
    container: Mapping[str, Any],
    waiting: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    failures: int,
    program: Program,
) -> Diagnosis:
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULL_REASONS:
        return _not_pulled(container.get("image", ""), reason, message, program)
    if reason in _CONFIG_REASONS:
        return Diagnosis(
            Reason.CONFIGURATION_MISSING,
            f"{program.name} cannot be configured: {fit_to_show(message)}; create what is missing, or correct the env of "
            "the runtime",
            "broken",
            "it is not configured completely; its owner finds the reason in its status",
        )
    if reason in _START_REASONS:
        return _not_started(message or reason, program)
    if reason == "CrashLoopBackOff" and before is not None:
        return _ended(before, failures + 1, program)
    if before is not None and failures:
        return _ended(before, failures, program)
    return _container_creating(program)


_PULL_PREFIX = re.compile(r'^Back-off pulling image "[^"]*"(?:: )?(?:ErrImagePull: )?')
_REFERENCE = re.compile(r"^.*failed to resolve (?:image|reference) ?\"?[^\s\"]*\"?: ", re.DOTALL)
_OWN_PORT = re.compile(r"(?<=\d):\d+->")
_NO_ACCESS = re.compile(
    r"\b(401|403)\b|unauthorized|denied|authorization failed|authentication required", re.IGNORECASE
)
_UNREACHABLE = re.compile(r"no such host|dial tcp|i/o timeout|connection refused|TLS handshake", re.IGNORECASE)


def _not_pulled(image: str, reason: str, message: str, program: Program) -> Diagnosis:
    """The kubelet's two states of a failing pull, which take turns, say the same."""
    words = _REFERENCE.sub("", _PULL_PREFIX.sub("", message))
    words = fit_to_show(_OWN_PORT.sub("->", words).removeprefix(f"{image}: ")) or reason
    if reason == "InvalidImageName":
        remedy = "correct spec.container.image of the runtime"
    elif reason == "ErrImageNeverPull":
        remedy = "load the image onto the node, or let the cluster pull it"
    elif _NO_ACCESS.search(words):
        remedy = f"its registry wants a pull secret: {program.pull_remedy}"
    elif _UNREACHABLE.search(words):
        remedy = "the nodes cannot reach its registry: check their DNS and proxy, or mirror the image"
    else:
        remedy = f"check its name and tag; a private image also looks like this without a pull secret ({program.pull_remedy})"
    return Diagnosis(
        Reason.IMAGE_PULL_FAILED,
        f"the image {fit_to_show(image)} of {program.name} cannot be pulled: {words}; {remedy}",
        "broken",
        "its container image cannot be pulled",
    )


_RUNTIME_PREFIX = re.compile(
    r"^.*(?:OCI runtime create failed|runc create failed|unable to start container process): ", re.DOTALL
)


def _not_started(message: str, program: Program) -> Diagnosis:
    words = fit_to_show(_RUNTIME_PREFIX.sub("", message))
    return Diagnosis(
        Reason.CANNOT_START,
        f"{program.name} cannot be started: {words}; check command, args and mounts of the runtime against its image",
        "broken",
        "it cannot be started; its owner finds the reason in its status",
    )


def _ended(ended: Mapping[str, Any], failures: int, program: Program) -> Diagnosis:
    """Say why a container ended; `failures` counts the ends in a row, as far as is known."""
    ran = _seconds_between(ended.get("startedAt"), ended.get("finishedAt"))
    slow = _outlasted_startup(ended, ran, program)
    if ran is not None and ran >= _STABLE_SECONDS and not slow:
        failures = 1
    looping = failures >= _LOOP
    stage: Stage = "broken" if looping else "starting"
    notice = "the engine keeps ending; its owner finds the reason in its status" if looping else None
    if ended.get("reason") == "OOMKilled":
        limit = f" at its memory limit of {program.memory}" if program.memory else ""
        return Diagnosis(
            Reason.OUT_OF_MEMORY,
            f"{program.name} was killed for memory{limit}; {program.more_memory}",
            stage,
            "it runs out of memory and is started again" if looping else None,
        )
    if ended.get("reason") in _START_FAILURES:
        return _not_started(ended.get("message") or str(ended["reason"]), program)
    words = last_words(ended.get("message") or "")
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
        Reason.CRASH_LOOPING if looping else Reason.RESTARTING,
        f"{how}{_quoted(words)}; {'' if looping else 'it is started again; '}{where}",
        stage,
        notice,
    )


def _quoted(words: LastWords) -> str:
    return f": {words.line}" if words.line else ""


def _exit(ended: Mapping[str, Any]) -> str:
    code = int(ended.get("exitCode") or 0)
    if code > 128:
        return {137: "by SIGKILL", 139: "by a segmentation fault", 143: "by SIGTERM"}.get(
            code, f"by signal {code - 128}"
        )
    return f"with exit code {code}"


def _outlasted_startup(ended: Mapping[str, Any], ran: float | None, program: Program) -> bool:
    """A container that the kubelet ended because of its startup probe does not say so. It ran for as long as the probe
    allows, give or take the period of a check and the time to end, and was ended by a signal."""
    if program.startup is None or ran is None or ended.get("reason") == "OOMKilled":
        return False
    killed = int(ended.get("exitCode") or 0) in (0, 137, 143) or int(ended.get("signal") or 0) in (9, 15)
    return killed and program.startup * 0.9 <= ran <= program.startup * 1.5 + 60


def _seconds_between(start: Any, end: Any) -> float | None:
    if not (isinstance(start, str) and isinstance(end, str)):
        return None
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None


# --- nodes --------------------------------------------------------------------------------------------------------------

_MISSING_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" (?:not found|bound to non-existent)', re.IGNORECASE)
_UNBOUND = re.compile(
    r"unbound immediate PersistentVolumeClaims|available persistent volumes to bind|volume binding", re.IGNORECASE
)


def _unscheduled(condition: Mapping[str, Any], observed: Observed) -> Diagnosis:
    message = condition.get("message") or ""
    if condition.get("reason") == "SchedulingGated":
        return Diagnosis(
            Reason.SCHEDULING_GATED,
            f"its pod waits for a scheduling gate: {fit_to_show(message)}; whoever set the gate has to remove it",
            "waiting",
            "the cluster holds it back",
        )
    missing = _MISSING_CLAIM.search(message)
    if missing:
        return Diagnosis(
            Reason.VOLUME_MISSING,
            f"its volume claim {missing.group(1)!r} does not exist; create it, or correct spec.model.source.uri",
            "broken",
            "its volume is missing; its owner finds the reason in its status",
        )
    if _UNBOUND.search(message):
        return _unbound(observed)
    return _no_node(message, observed)


def _unbound(observed: Observed) -> Diagnosis:
    mounted = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in (observed.plan.pod["spec"].get("volumes", ()) if observed.plan else ())
        if "persistentVolumeClaim" in volume
    ]
    pending = [claim for claim in observed.claims if (claim.get("status") or {}).get("phase") != "Bound"]
    name = pending[0]["metadata"]["name"] if pending else next(iter(mounted), "")
    subject = f"its volume claim {name!r} is not bound" if name else "a volume claim of its pod is not bound"
    spec = (pending[0].get("spec") or {}) if pending else {}
    if pending and not spec.get("storageClassName"):
        cause = ": it names no StorageClass and the cluster has no default one"
    elif pending:
        cause = f": StorageClass {spec['storageClassName']!r} has not made a volume for it"
    else:
        cause = ""
    return Diagnosis(
        Reason.VOLUME_NOT_BOUND,
        f"{subject}{cause}; set spec.cache.storageClassName to one of `kubectl get storageclass` (a claim cannot be "
        "changed: delete it, and it is made anew), or spec.cache.strategy: HostPath",
        "broken",
        "its volume is not there yet; its owner finds the reason in its status",
    )


def _no_node(message: str, observed: Observed) -> Diagnosis:
    words = scheduler_words(message)
    short = insufficient(message)
    plan = observed.plan
    devices = [resource for resource in short if "/" in resource]
    limits = (plan.serving.get("resources") or {}).get("limits", {}) if plan is not None else {}
    own = plan.runtime.spec.accelerator.resource_name if plan is not None else ""
    wanted = own if own in limits and (own in devices or not devices) else next((r for r in devices if r in limits), "")
    if plan is not None and wanted and observed.nodes is not None:
        demand = Demand(wanted, _whole_number(limits.get(wanted)), plan.pod["spec"])
        found = _from_nodes(demand, observed, plan, out=bool(devices))
        if found is not None:
            return found
    if devices:
        return Diagnosis(
            Reason.INSUFFICIENT_ACCELERATORS,
            f"no node has enough {devices[0]} free; {_WAIT_FOR_ACCELERATORS}",
            "waiting",
            _ACCELERATORS_IN_USE,
        )
    if short:
        return Diagnosis(
            Reason.INSUFFICIENT_RESOURCES,
            f"no node has enough {' and '.join(short)} free ({fit_to_show(words)}); lower "
            f"{' and '.join(_RESOURCE_FIELDS.get(name, name) for name in short)}, or add a node",
            "waiting",
            "no node of the cluster has room for it",
        )
    return Diagnosis(
        Reason.UNSCHEDULABLE,
        f"no node takes its pod: {fit_to_show(words)}; change the nodes, or spec.accelerator of the runtime",
        "broken",
        "no node of the cluster takes it",
    )


_RESOURCE_FIELDS = {
    "cpu": "spec.resources.cpu",
    "memory": "spec.resources.memory",
    "ephemeral-storage": "what the pods keep on the node",
}
_WAIT_FOR_ACCELERATORS = "it starts as soon as one is free: let another service sleep (lower its spec.scaling.min or max), or add accelerators"
_ACCELERATORS_IN_USE = "all accelerators of the cluster are in use; it starts as soon as one is free"


def _from_nodes(demand: Demand, observed: Observed, plan: Plan, *, out: bool) -> Diagnosis | None:
    """Say which part of the demand no node meets; None when the nodes do not explain it. `out`: the scheduler says that
    nodes have too few devices free."""
    have = supply(demand, observed.nodes or ())
    runtime = plan.runtime.metadata.name
    if have.total == 0:
        return Diagnosis(
            Reason.NO_ACCELERATOR,
            f"no node of the cluster has {demand.device}; install the device plugin of {plan.vendor.title} or add such a "
            "node, or choose another runtime (spec.runtime)",
            "broken",
            "no node of the cluster has the accelerator that it needs",
        )
    if have.largest < demand.count:
        return Diagnosis(
            Reason.NODE_TOO_SMALL,
            f"a replica asks for {demand.count} {demand.device} and the largest node has {have.largest}; lower "
            "spec.resources.accelerators",
            "broken",
            "no node of the cluster has as many accelerators as it needs",
        )
    if not have.open:
        some = f"{have.nodes} {'node has' if have.nodes == 1 else 'nodes have'}"
        return Diagnosis(
            Reason.NODES_EXCLUDED,
            f"{some} enough {demand.device} and none may take the pod: {', '.join(have.barriers)}; change those nodes, or "
            f"spec.accelerator.nodeSelector and tolerations of runtime {runtime}",
            "broken",
            "no node of the cluster may run it",
        )
    if not out:
        return None
    free = (
        f"all {have.open} {demand.device} are in use"
        if demand.count == 1
        else (f"no node has {demand.count} of the {have.open} {demand.device} free")
    )
    return Diagnosis(
        Reason.INSUFFICIENT_ACCELERATORS,
        f"{free}{_held(demand, observed, have.open)}; {_WAIT_FOR_ACCELERATORS}",
        "waiting",
        _ACCELERATORS_IN_USE,
    )


def _held(demand: Demand, observed: Observed, total: int) -> str:
    """By whom the devices are held, as far as that is known and may be told."""
    placed = [pod for pod in observed.pods if pod.get("spec", {}).get("nodeName") and not _is_over(pod)]
    ending = demand.count * sum(1 for pod in placed if is_ending(pod))
    own = demand.count * len(placed) - ending
    home = f"{observed.service.metadata.namespace}/"
    near = {key.removeprefix(home): count for key, count in observed.holders.items() if key.startswith(home) and count}
    parts = [f"{own} by this service"] if own else []
    if ending:
        parts.append(f"{ending} by replicas of it that are ending")
    parts += [f"{count} by LLMService {name}" for name, count in sorted(near.items())]
    others = total - own - ending - sum(near.values())
    if others > 0:
        parts.append(f"{others} by others")
    return f" ({', '.join(parts)})" if parts else ""


def _is_over(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def _whole_number(amount: Any) -> int:
    text = str(amount)
    return int(text) if text.isdecimal() else 1


# --- around the replicas --------------------------------------------------------------------------------------------------


def gateway_trouble(observed: Observed) -> Diagnosis | None:
    """Say why nobody answers the service's clients; None when a gateway does."""
    gateway = observed.gateway
    if gateway is None:
        return Diagnosis(Reason.GATEWAY_STARTING, "its gateway is being created", "waiting")
    pods = [pod for pod in observed.gateway_pods if not is_ending(pod)]
    if any(is_ready(pod) for pod in pods):
        return None
    if not pods and int((gateway.get("status") or {}).get("readyReplicas") or 0):
        return None
    program = gateway_program(gateway)
    troubles = sorted(
        (pod_trouble(pod, program, _of_gateway(observed)) for pod in pods if not _is_over(pod)), key=_rank
    )
    refusal = _refused_pods(gateway)
    if refusal is not None and not troubles:
        troubles = [refusal]
    worst = next((trouble for trouble in troubles if trouble.stage == "broken"), None) or next(
        (trouble for trouble in troubles if trouble.reason not in _ON_ITS_WAY), None
    )
    if worst is None:
        return Diagnosis(Reason.GATEWAY_STARTING, "its gateway is starting", "waiting")
    return Diagnosis(Reason.GATEWAY_UNAVAILABLE, f"no gateway answers its clients: {worst.message}", worst.stage)


_ON_ITS_WAY = frozenset(
    {
        Reason.CREATING,
        Reason.SCHEDULING,
        Reason.CONTAINER_CREATING,
        Reason.LOADING,
        Reason.NOT_ANSWERING,
        Reason.RESTARTING,
    }
)


def _of_gateway(observed: Observed) -> Observed:
    """Without what would explain a gateway's pod by the engine's needs."""
    return Observed(
        service=observed.service,
        plan=None,
        error=None,
        deployment=None,
        pods=(),
        prewarm=None,
        prewarm_pods=(),
        scaled_object=None,
        keda=observed.keda,
        gateway=observed.gateway,
        gateway_pods=(),
        nodes=None,
        now=observed.now,
    )


_SCALE_IN = "autoscaling.keda.sh/paused-scale-in"
_PAUSES: Mapping[str, str] = {
    "autoscaling.keda.sh/paused": "neither wakes nor sleeps",
    "autoscaling.keda.sh/paused-replicas": "is kept at a fixed number of replicas",
    "autoscaling.keda.sh/paused-scale-out": "gets no further replicas",
    _SCALE_IN: "keeps the replicas that it has, and never sleeps",
}
_FALSE = ("false", "False", "FALSE", "0", "f", "F")


def scaler_trouble(observed: Observed) -> Diagnosis | None:
    """Say why the number of replicas does not follow the demand; None when it does."""
    if not observed.keda:
        return Diagnosis(
            Reason.KEDA_NOT_INSTALLED,
            "KEDA is not installed, so nothing wakes the service or lets it sleep; install KEDA 2.20.2 or later, and the "
            "operator does the rest",
            "broken",
            "the cluster's autoscaler is not installed",
        )
    scaled = observed.scaled_object
    if scaled is None:
        return Diagnosis(Reason.SCALER_STARTING, "its ScaledObject is being created", "waiting")
    metadata = scaled.get("metadata") or {}
    pause = _pause(metadata.get("annotations") or {})
    if pause is not None:
        name, namespace = observed.service.metadata.name, observed.service.metadata.namespace
        return Diagnosis(
            Reason.SCALING_PAUSED,
            f"its ScaledObject has the annotation {pause}: the service {_PAUSES[pause]}; "
            f"kubectl annotate scaledobject -n {namespace} {name} {pause}- lets it scale again",
            "broken",
            "its scaling was paused by hand",
        )
    return _scaler_condition(scaled)


def _pause(annotations: Mapping[str, str]) -> str | None:
    """KEDA takes whatever is not a boolean for true, except at paused-replicas, where any number pauses."""
    return next(
        (
            name
            for name in _PAUSES
            if name in annotations and (name.endswith("-replicas") or annotations[name] not in _FALSE)
        ),
        None,
    )


def waking_trouble(observed: Observed) -> Diagnosis | None:
    """Say why a service that sleeps would not wake; None when it would. Replicas that may not be taken away are no
    reason."""
    trouble = scaler_trouble(observed)
    if trouble is None or trouble.reason != Reason.SCALING_PAUSED:
        return trouble
    metadata = (observed.scaled_object or {}).get("metadata") or {}
    return None if _pause(metadata.get("annotations") or {}) == _SCALE_IN else trouble


def _scaler_condition(scaled: Object) -> Diagnosis | None:
    ready = _condition(scaled, "Ready")
    if ready.get("status") == "True":
        return None
    status = scaled.get("status") or {}
    if ready.get("status") != "False":
        return Diagnosis(
            Reason.SCALER_STARTING,
            "KEDA has not looked at its ScaledObject yet; if that lasts, look at KEDA's operator "
            "(kubectl get pods -A -l app=keda-operator)",
            "waiting",
        )
    words = fit_to_show(ready.get("message") or ready.get("reason") or "it does not say why")
    known = bool(status.get("hpaName") or status.get("lastActiveTime"))
    return Diagnosis(
        Reason.SCALER_NOT_READY,
        f"KEDA cannot scale it: {words}; KEDA tries again by itself, and `kubectl describe scaledobject` and the log of "
        "KEDA's operator say more",
        "broken" if known else "waiting",
        "the cluster's autoscaler cannot scale it at the moment" if known else None,
    )


def prewarm_trouble(observed: Observed) -> Diagnosis | None:
    """Say how far the prewarm Job is; None when the weights are there."""
    job, plan = observed.prewarm, observed.plan
    if plan is None or (job is not None and _condition(job, "Complete").get("status") == "True"):
        return None
    if job is None:
        return Diagnosis(Reason.PREWARMING, "the download of the weights is being created", "waiting")
    program = prewarmer(plan)
    troubles = sorted(
        (pod_trouble(pod, program, observed) for pod in observed.prewarm_pods if not is_ending(pod)), key=_rank
    )
    failed = _condition(job, "Failed")
    if failed.get("status") == "True":
        cause = _last_failure(observed.prewarm_pods, program) or fit_to_show(failed.get("message") or "")
        name, namespace = plan.service.metadata.name, plan.service.metadata.namespace
        return Diagnosis(
            Reason.PREWARM_FAILED,
            f"the weights were not downloaded ahead: {cause}; the first start downloads them itself. To try again: "
            f"kubectl delete job -n {namespace} {name}-prewarm",
            "broken",
        )
    worst = next((trouble for trouble in troubles if trouble.reason not in _ON_ITS_WAY), None)
    if worst is not None:
        return Diagnosis(Reason.PREWARMING, f"the weights are not downloaded yet: {worst.message}", "waiting")
    return Diagnosis(
        Reason.PREWARMING, f"the weights are being downloaded; `{program.logs}` shows how far it is", "waiting"
    )


def _last_failure(pods: Sequence[Object], program: Program) -> str:
    ends = sorted(
        (
            ended
            for pod in pods
            for container in (pod.get("status") or {}).get("containerStatuses") or ()
            if (ended := (container.get("state") or {}).get("terminated")) is not None and ended.get("exitCode")
        ),
        key=lambda ended: str(ended.get("finishedAt", "")),
    )
    return _ended(ends[-1], 1, program).message.replace("; it is started again", "") if ends else ""


def first_starting(troubles: Iterable[Diagnosis]) -> Diagnosis | None:
    """What a service that has no replica yet waits for: the replica that is furthest."""
    found: Iterator[Diagnosis] = iter(
        sorted(troubles, key=lambda at: ("starting", "broken", "waiting").index(at.stage))
    )
    return next(found, None)


def _condition(item: Object, kind: str) -> Mapping[str, Any]:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), {})
