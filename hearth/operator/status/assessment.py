"""Assessment: what follows from an observation before anything is said about it."""

from __future__ import annotations

from dataclasses import dataclass

from hearth.api import HearthError
from hearth.operator.diagnosis.diagnosis import Diagnosis
from hearth.operator.diagnosis.gateway import gateway_trouble
from hearth.operator.diagnosis.keda import scaler_trouble, waking_trouble
from hearth.operator.diagnosis.observation import Observed
from hearth.operator.diagnosis.reasons import Reason
from hearth.operator.diagnosis.replicas import desired_replicas, first_starting, replica_troubles
from hearth.operator.kubernetes.errors import BeingDeleted
from hearth.planning import PlanningError
from hearth.plugins import PluginError
from hearth.plugins.errors import VendorUnavailable

REFUSALS = (PlanningError, PluginError, VendorUnavailable)
"""Errors that are about the service itself, and not about applying it."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What an observation means for a service."""

    observed: Observed
    refusal: HearthError | None
    """Why the service cannot be planned, or is refused."""
    error: HearthError | None
    """That, or why the plan cannot be applied."""
    missing: Diagnosis | None
    """Why there is no Deployment yet."""
    ready: int
    """Replicas that are ready."""
    desired: int
    """Replicas that the Deployment is to have."""
    troubles: tuple[Diagnosis, ...]
    """Of the replicas that are desired and not ready."""
    gateway: Diagnosis | None
    """Why the gateway does not answer."""
    scaler: Diagnosis | None
    """Why the replicas do not follow the demand."""
    waking: Diagnosis | None
    """Why a request would not start the first replica."""

    @property
    def deleting(self) -> bool:
        """Whether the service is being deleted."""
        return bool(self.observed.service.metadata.deletion_timestamp)

    @property
    def start(self) -> Diagnosis:
        """What a service without a ready replica waits for."""
        return first_starting(self.troubles) or Diagnosis(
            Reason.CREATING, "the pod of the engine is being created", "waiting"
        )


def assess(observed: Observed) -> Assessment:
    """Return what an observation means."""
    error = observed.error
    refusal = error if observed.plan is None or isinstance(error, REFUSALS) else None
    waits = isinstance(error, BeingDeleted)
    return Assessment(
        observed=observed,
        refusal=refusal,
        error=error if refusal is not None or not waits else None,
        missing=_missing(error if waits else None) if observed.deployment is None else None,
        ready=sum(1 for pod in observed.pods if pod.is_ready),
        desired=desired_replicas(observed.deployment),
        troubles=replica_troubles(observed),
        gateway=gateway_trouble(observed),
        scaler=scaler_trouble(observed),
        waking=waking_trouble(observed),
    )


def _missing(error: HearthError | None) -> Diagnosis:
    if error is not None:
        return Diagnosis(
            Reason.BEING_DELETED, f"{error}; the service's own object is created once that one is gone", "waiting"
        )
    return Diagnosis(Reason.CREATING, "the objects of the service are being created", "waiting")
