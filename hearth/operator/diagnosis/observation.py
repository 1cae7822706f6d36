"""The observation of one service at one moment, from which everything that is said about the service follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hearth.api import HearthError, LLMService
from hearth.operator.objects import Claim, Deployment, Job, Node, Pod, ScaledObject
from hearth.planning import Plan


@dataclass(frozen=True, slots=True)
class Observed:
    """One service and what belongs to it, as the API server or a cache of it has them."""

    service: LLMService
    """As read from the API: its `status` is the old one."""
    plan: Plan | None
    """None when planning failed; `error` then says why."""
    error: HearthError | None
    """What keeps the plan from being made (PlanningError, PluginError), accepted (refused), or applied."""
    deployment: Deployment | None
    """Of the backends."""
    pods: Sequence[Pod]
    """Of the backends; terminating ones included."""
    prewarm: Job | None
    """The Job."""
    prewarm_pods: Sequence[Pod]
    scaled_object: ScaledObject | None
    keda: bool
    """Whether the API server knows ScaledObjects."""
    gateway: Deployment | None
    """The Deployment of the gateway that serves this service."""
    gateway_pods: Sequence[Pod]
    nodes: Sequence[Node] | None
    """Listed only when a pod is unschedulable or the prewarm Job does not exist yet; None when they were not."""
    now: datetime
    """Aware. It becomes the `lastTransitionTime` of what changed, and nothing else."""
    claims: Sequence[Claim] = ()
    """PersistentVolumeClaims that the pods mount, as far as they are known."""
    holders: Mapping[str, int] = field(default_factory=dict)
    """Devices of the wanted kind held by other services' pods: `NAMESPACE/NAME` of the LLMService -> devices. Only
    services of the own namespace are ever named."""
    warnings: Sequence[str] = ()
    """What the namespace's plan warns about (aliases that other services have)."""
