"""Program: what runs in a pod, as its troubles name it, with the remedies that depend on it."""

from __future__ import annotations

from dataclasses import dataclass

from hearth.operator.objects import Deployment
from hearth.planning import Plan, prewarm_name
from hearth.planning.pod import SERVING


@dataclass(frozen=True, slots=True)
class Program:
    """The engine, the gateway or the download of weights."""

    name: str
    """With its article, such as `the engine`."""
    namespace: str
    target: str
    """The argument of `kubectl logs`, such as `deployment/tiny`."""
    more_memory: str
    """What to do when it was OOM-killed."""
    pull_remedy: str
    """Where its pull secret is named."""
    container: str = ""
    """Its container; empty when the pod has only one."""
    restarted: bool = True
    """Whether its container is restarted in place. If not, another pod takes the place of the pod."""
    memory: str = ""
    """The memory limit; empty when there is none."""
    startup: float | None = None
    """Seconds that the startup probe allows."""
    longer_start: str = ""
    """What to do when it needs longer than that."""

    def logs(self, *, previous: bool = False) -> str:
        """Return the command that shows the log: of the run before this one, or of the latest run."""
        container = f" -c {self.container}" if self.container else ""
        flag = " --previous" if previous and self.restarted else ""
        return f"kubectl logs -n {self.namespace} {self.target}{container}{flag}"


def engine(plan: Plan) -> Program:
    """Return the engine of a plan."""
    metadata, runtime = plan.service.metadata, plan.runtime.metadata.name
    limit = (plan.serving.get("resources") or {}).get("limits", {}).get("memory", "")
    return Program(
        name="the engine",
        namespace=metadata.namespace,
        target=f"deployment/{metadata.name}",
        container=SERVING,
        more_memory="raise spec.resources.memory"
        if limit
        else "set spec.resources.memory, so that its pod is scheduled to a node with enough",
        memory=limit,
        pull_remedy="list it in spec.imagePullSecrets",
        startup=plan.probes.startup_seconds,
        longer_start=f"raise spec.health.startup.failureThreshold of runtime {runtime} if it only needs longer",
    )


def prewarmer(plan: Plan) -> Program:
    """Return the download that the prewarm Job of a plan runs."""
    return Program(
        name="the download",
        namespace=plan.service.metadata.namespace,
        target=f"job/{prewarm_name(plan.service)}",
        restarted=False,
        more_memory="the download has no memory limit of its own: free memory on the nodes",
        pull_remedy="list it in spec.imagePullSecrets",
    )


def gateway_program(deployment: Deployment) -> Program:
    """Return the gateway that a Deployment runs."""
    return Program(
        name="the gateway",
        namespace=deployment.metadata.namespace,
        target=f"deployment/{deployment.metadata.name}",
        more_memory="raise gateway.resources of the Helm release",
        pull_remedy="the image is gateway.image of the Helm release; list the secret in gateway.image.pullSecrets",
    )
