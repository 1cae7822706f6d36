"""One replica as a process on this machine: the serving container of the plan, without a container."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hearth.api import Probe
from hearth.planning.errors import PlanningError
from hearth.planning.plan import Plan
from hearth.planning.probes import HEALTH_PATH
from hearth.plugins import LocalLaunch, PluginRejects, VendorHost, generic

HOST = "127.0.0.1"

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A check of one replica: GET `path`; 200 to 399 is success. Times are seconds; thresholds count in a row."""

    path: str
    port: int
    headers: Mapping[str, str]
    initial_delay: float
    period: float
    timeout: float
    success_threshold: int
    failure_threshold: int


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start, watch and end one replica.

    `env` is added to the environment of the supervisor. To end it: send no further request, wait up to
    `drain_timeout` seconds for its requests in flight, SIGTERM, and SIGKILL when `grace_period` seconds have passed
    since the beginning of the end.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None
    host: str
    port: int
    startup: HttpProbe
    readiness: HttpProbe
    liveness: HttpProbe | None
    drain_timeout: float
    grace_period: float


def local_launch(plan: Plan, *, host: VendorHost, devices: Sequence[str], port: int) -> Launch:
    """Return how to run one replica that uses `devices` and listens on 127.0.0.1:`port`. Pure.

    Raises PlanningError (`WrongTarget`, `RuntimeNotLocal`, or the vendor's own reason) and PluginError.
    """
    if plan.target != "local":
        raise PlanningError(
            "WrongTarget", f"the plan of {plan.service.metadata.name} is for a cluster", "make it with target='local'"
        )
    name = plan.runtime.metadata.name
    try:
        command = host.local_command(plan.context, devices)
        # As everywhere, what the runtime says wins over its vendor's plugin.
        own = generic.hearth_local_command(plan.context, devices)
    except PluginRejects as exc:
        raise PlanningError(exc.reason, f"runtime {name}: {exc.message}", "choose another runtime") from exc
    if command is None:
        raise PlanningError(
            "RuntimeNotLocal",
            f"runtime {name}: vendor {plan.vendor.name!r} does not support local mode",
            "choose another runtime, or write one with adapter: generic and spec.local.command",
        )
    env = {variable["name"]: variable["value"] for variable in plan.serving.get("env", ()) if "value" in variable}
    env |= {**_added(command, plan, devices), **(own.env if own else {})}
    args = [_expand(arg, env) for arg in plan.serving.get("args", ())]
    # The last use of a flag counts, so these replace what the runtime or the user may have said.
    argv = (*(own or command).argv, *args, "--host", HOST, "--port", str(port))
    probes = plan.probes
    return Launch(
        argv=argv,
        env=env,
        cwd=command.cwd,
        host=HOST,
        port=port,
        startup=_probe(probes.startup, plan, port),
        readiness=_probe(probes.readiness, plan, port),
        # A liveness probe of another kind than HTTP is left out: a wrong one would restart a healthy engine.
        liveness=_probe(probes.liveness, plan, port) if probes.liveness and probes.liveness.http_get else None,
        drain_timeout=plan.scaling.drain_timeout,
        grace_period=float(plan.pod["spec"]["terminationGracePeriodSeconds"]),
    )


def _added(command: LocalLaunch, plan: Plan, devices: Sequence[str]) -> Mapping[str, str]:
    """Return the plugin's variables that the runtime does not set, and those that say which devices are visible."""
    said = {variable.name for variable in plan.runtime.spec.container.env}
    visible = ",".join(devices)
    return {name: value for name, value in command.env.items() if name not in said or value == visible}


def _probe(probe: Probe, plan: Plan, port: int) -> HttpProbe:
    """Fill in what Kubernetes would: 10 s period, 1 s timeout, 1 success, 3 failures."""
    action = probe.http_get
    own = plan.runtime.spec.container.port
    asked = port
    if action is not None and isinstance(action.port, int) and action.port != own.container_port:
        asked = action.port
    return HttpProbe(
        path=HEALTH_PATH if action is None else action.path or "/",
        port=asked,
        headers={header.name: header.value for header in action.http_headers} if action else {},
        initial_delay=float(probe.initial_delay_seconds or 0),
        period=float(probe.period_seconds or 10),
        timeout=float(probe.timeout_seconds or 1),
        success_threshold=probe.success_threshold or 1,
        failure_threshold=probe.failure_threshold or 3,
    )


def _expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` as the kubelet does: unknown names stay, `$$` is a dollar sign."""

    def replacement(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        return env.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replacement, text)
