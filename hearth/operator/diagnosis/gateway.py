"""The gateway: why it does not answer the clients of a service."""

from __future__ import annotations

from dataclasses import replace

from hearth.operator.diagnosis.diagnosis import Diagnosis, rank
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.pods import ON_ITS_WAY, not_created, pod_trouble
from hearth.operator.diagnosis.program import gateway_program
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.rejection import is_rejected


def gateway_trouble(observed: Observed) -> Diagnosis | None:
    """Say why no gateway answers the service's clients; None when one does."""
    gateway = observed.gateway
    if gateway is None:
        return Diagnosis(Reason.GATEWAY_STARTING, "the gateway is being created", "waiting")
    pods = [pod for pod in observed.gateway_pods if not pod.is_ending]
    # The watches of pods and Deployments have no common order: what either of them says counts.
    if any(pod.is_ready for pod in pods) or gateway.is_available:
        return None
    program, alone = gateway_program(gateway), _without_engine(observed)
    troubles = sorted(
        (pod_trouble(pod, program, alone) for pod in pods if not pod.is_over or is_rejected(pod)), key=rank
    )
    failure = not_created(gateway)
    if failure is not None and not troubles:
        troubles = [failure]
    worst = next((trouble for trouble in troubles if trouble.stage == "broken"), None) or next(
        (trouble for trouble in troubles if trouble.reason not in ON_ITS_WAY), None
    )
    if worst is None:
        return Diagnosis(Reason.GATEWAY_STARTING, "the gateway is starting", "waiting")
    return Diagnosis(Reason.GATEWAY_UNAVAILABLE, f"no replica of the gateway is ready: {worst.message}", worst.stage)


def _without_engine(observed: Observed) -> Observed:
    """Return the observation without what would explain a gateway's pod by the engine's needs."""
    return replace(observed, plan=None, pods=(), nodes=None)
