"""The gateway: why nobody answers the clients of a service."""

from __future__ import annotations

from dataclasses import replace

from hearth.operator.diagnosis.containers import (
    gateway_program,
)
from hearth.operator.diagnosis.diagnosis import Diagnosis, rank
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.pods import ON_ITS_WAY, pod_trouble, refused_pods
from hearth.operator.diagnosis.reasons import Reason


def gateway_trouble(observed: Observed) -> Diagnosis | None:
    """Say why nobody answers the service's clients; None when a gateway does."""
    gateway = observed.gateway
    if gateway is None:
        return Diagnosis(Reason.GATEWAY_STARTING, "its gateway is being created", "waiting")
    pods = [pod for pod in observed.gateway_pods if not pod.is_ending]
    # Either of them may be known later than the other; what comes second is looked at again only if it matters.
    if any(pod.is_ready for pod in pods) or gateway.is_available:
        return None
    program = gateway_program(gateway)
    troubles = sorted((pod_trouble(pod, program, _of_gateway(observed)) for pod in pods if not pod.is_over), key=rank)
    refusal = refused_pods(gateway)
    if refusal is not None and not troubles:
        troubles = [refusal]
    worst = next((trouble for trouble in troubles if trouble.stage == "broken"), None) or next(
        (trouble for trouble in troubles if trouble.reason not in ON_ITS_WAY), None
    )
    if worst is None:
        return Diagnosis(Reason.GATEWAY_STARTING, "its gateway is starting", "waiting")
    return Diagnosis(Reason.GATEWAY_UNAVAILABLE, f"no gateway answers its clients: {worst.message}", worst.stage)


def _of_gateway(observed: Observed) -> Observed:
    """Without what would explain a gateway's pod by the engine's needs."""
    return replace(observed, plan=None, pods=(), nodes=None)
